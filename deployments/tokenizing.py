"""Text to token ids and back, and chat messages to a prompt, by the model's own tokenizer."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from deployments import default_model
from deployments.errors import BadRequest

LONG_CHARS = 16_384
"""Longer text is tokenized in a thread: the tokenizer lets go of the interpreter meanwhile."""

T = TypeVar("T")
Message = Mapping[str, Any]


class Tokenizing:
    """A model's tokenizer and chat template, for use on an event loop."""

    def __init__(self, source: str, revision: str | None = None) -> None:
        from transformers import AutoTokenizer

        model = default_model.locate(source)
        self._tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        add_special_tokens: bool = False,
    ) -> list[int]:
        """The prompt for `messages`; raises BadRequest when the template will not have them."""
        length = sum(len(str(message["content"])) for message in messages) + len(str(tools or ""))

        def render() -> list[int]:
            text = self._render(messages, tools, add_generation_prompt, continue_final_message)
            return self._encode(text, add_special_tokens)

        return await _off_the_loop_if_long(length, render)

    async def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """The token ids of `text`."""
        return await _off_the_loop_if_long(
            len(text), lambda: self._encode(text, add_special_tokens)
        )

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of `token_ids`, special tokens included."""
        text: str = self._tokenizer.decode(list(token_ids))
        return text

    @property
    def vocab_size(self) -> int:
        """How many token ids the tokenizer knows."""
        return len(self._tokenizer)

    def _encode(self, text: str, add_special_tokens: bool) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return ids

    def _render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        add_generation_prompt: bool,
        continue_final: bool,
    ) -> str:
        if self._tokenizer.chat_template is None:
            raise BadRequest("This model has no chat template; use /v1/completions.", param="model")
        try:
            text: str = self._tokenizer.apply_chat_template(
                messages,
                tools=tools,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=continue_final,
            )
        except Exception as exc:  # a template is a program of the model's: it may raise anything
            raise BadRequest(
                f"The model's chat template refused the messages: {exc}", param="messages"
            ) from exc
        return text


async def _off_the_loop_if_long(length: int, work: Callable[[], T]) -> T:
    return work() if length < LONG_CHARS else await asyncio.to_thread(work)
