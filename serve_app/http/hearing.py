"""How the answer to a chat is read: as it is, by the model's own parser, or as calls in JSON."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from msgspec.structs import replace

from deployments.errors import BadRequest
from deployments.speech import Asked, Heard, Parsing, Reader
from serve_app.http.chat_request import ChatRequest
from serve_app.http.forced_calls import CallReader, ForcedCalls, NamedCall, RequiredCalls
from serve_app.http.generation import Sequences
from serve_app.http.parsing import UNSUPPORTED_PARAMETER
from serve_app.http.protocol import GenerationRequest
from serve_app.http.tools import NamedTool

LONG_PROMPT = 16_384
"""Longer ones, in tokens, are looked through in a thread: that takes up to 30 ns for each token."""


class Hearing:
    """How the choices of one answer are read.

    `parsing` is the model's, if it has one. Raises BadRequest for a chat that needs one.
    """

    def __init__(self, parsing: Parsing | None, chat: ChatRequest) -> None:
        self._parsing = parsing
        self._chat = chat
        self._heard: Heard | None = None
        self.reasons = parsing is not None and parsing.reasons
        """Whether the model thinks before it answers."""
        self._check()
        self._calls_freely = chat.choice == "auto" or (
            chat.choice != "none" and parsing is not None and parsing.calls_in_its_own_words
        )
        """Whether calls come as the model writes them, and not as the JSON it is held to."""

    async def prepare(self, prompt: list[int], template_kwargs: Mapping[str, Any]) -> None:
        """Tell the parser, if one is needed, what there will be to read. Raises BadRequest."""
        if self._parsing is None or not (self._calls_freely or self.reasons):
            return
        chat, free = self._chat, self._calls_freely
        choice = chat.choice.model_dump() if isinstance(chat.choice, NamedTool) else chat.choice
        asked = Asked(
            prompt_token_ids=prompt,
            messages=chat.messages_for_template,
            tools=chat.tools_for_template if free else None,
            tool_choice=choice if free else "none",
            parallel_tool_calls=chat.parallel_tool_calls,
            include_reasoning=chat.include_reasoning,
            skip_special_tokens=chat.skip_special_tokens,
            spaces_between_special_tokens=chat.spaces_between_special_tokens,
            structured_outputs=chat.form_of_content if free else chat.structured_outputs,
            chat_template_kwargs=template_kwargs,
        )
        hear = self._parsing.hear
        # The form of a call is put together from all the tools, and thoughts are looked for in all
        # of the prompt.
        takes_long = free or len(prompt) >= LONG_PROMPT
        self._heard = await asyncio.to_thread(hear, asked) if takes_long else hear(asked)
        if free and None is not chat.form_of_content == self._heard.structured_outputs:
            raise BadRequest(
                f"'{chat.form_field}' must be left out where the model may call a tool: its "
                "'tool_parser' has no form for calls, so this one would rule them out.",
                param=chat.form_field,
                code=UNSUPPORTED_PARAMETER,
            )

    def shaped(self, sequences: Sequences) -> Sequences:
        """`sequences` sampled so that what they say can be read."""
        heard = self._heard
        if heard is None:
            return sequences
        return [
            (
                prompt,
                replace(
                    sampling,
                    structured_outputs=heard.structured_outputs,
                    skip_special_tokens=heard.skip_special_tokens,
                    spaces_between_special_tokens=heard.spaces_between_special_tokens,
                    reasoning=heard.reasoning,
                ),
            )
            for prompt, sampling in sequences
        ]

    def readers(self) -> list[Reader]:
        """One for each choice; none where all the text is what it has to be."""
        new_calls = None if self._calls_freely else _forced_calls(self._chat)
        if self._heard is None and new_calls is not RequiredCalls:
            return []
        return [self._reader(new_calls) for _ in range(self._chat.n)]

    def _reader(self, new_calls: Callable[[], CallReader] | None) -> Reader:
        thoughts = None if self._heard is None else self._heard.reader()
        if new_calls is not None:
            return ForcedCalls(new_calls(), thoughts)
        assert thoughts is not None
        return thoughts

    def _check(self) -> None:
        """Raises BadRequest for what only a model with a parser can do."""
        chat = self._chat
        if chat.choice == "auto" and not (self._parsing is not None and self._parsing.calls):
            raise BadRequest(
                '\'tool_choice\' must be "required", "none" or name a function: to leave it to '
                "this model, the server's configuration must give it a 'tool_parser'.",
                param="tool_choice",
                code=UNSUPPORTED_PARAMETER,
            )
        if not chat.include_reasoning and not self.reasons:
            raise _needs_reasoning_parser("include_reasoning", "must be true")
        check_thinking(self._parsing, chat)


def check_thinking(parsing: Parsing | None, request: GenerationRequest) -> None:
    """Raises BadRequest where a model is told how long to think, and nobody knows when it does."""
    if request.thinking_budget is not None and not (parsing is not None and parsing.reasons):
        raise _needs_reasoning_parser("thinking_token_budget", "must be left out")


def _forced_calls(chat: ChatRequest) -> Callable[[], CallReader] | None:
    """Makes readers of the calls that the answer has to consist of."""
    if isinstance(chat.choice, NamedTool):
        return partial(NamedCall, chat.choice.function.name)
    return RequiredCalls if chat.choice == "required" else None


def _needs_reasoning_parser(field: str, predicate: str) -> BadRequest:
    return BadRequest(
        f"'{field}' {predicate}: to tell this model's thoughts from its answer, the server's "
        "configuration must give it a 'reasoning_parser'.",
        param=field,
        code=UNSUPPORTED_PARAMETER,
    )
