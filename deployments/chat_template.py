"""A model's chat template: a program in Jinja that makes a prompt of messages.

What it gets is what vLLM 0.32 gives it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from deployments.errors import BadRequest

Message = Mapping[str, Any]
ContentFormat = Literal["auto", "string", "openai"]
"""How the template takes a message's content: as a string, as an array of parts as OpenAI has them,
or in the way that it shows."""
_PROBE = "What is it like?"


class ChatTemplate:
    """The template that a tokenizer brings, or `source` in its place."""

    def __init__(
        self, tokenizer: Any, source: str | None = None, content_format: ContentFormat = "auto"
    ) -> None:
        self._tokenizer = tokenizer
        self._source = source
        given = tokenizer.chat_template if source is None else source
        # A model may have several, each for a purpose of its own.
        self._text = "\n".join(given.values()) if isinstance(given, dict) else given or ""
        self._takes_parts = (
            self._seems_to_take_parts() if content_format == "auto" else content_format == "openai"
        )

    def mentions(self, name: str) -> bool:
        """Whether the variable `name` may make a difference."""
        return re.search(rf"\b{re.escape(name)}\b", self._text) is not None

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, str]] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
    ) -> str:
        """The prompt; raises BadRequest when the template will not have the messages."""
        if not self._text:
            raise BadRequest("This model has no chat template; use /v1/completions.", param="model")
        shaped = [{**message, "content": self._shaped(message)} for message in messages]
        try:
            text: str = self._tokenizer.apply_chat_template(
                self._in_known_roles(shaped),
                chat_template=self._source,
                tools=tools,
                documents=documents,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=continue_final_message,
                **(kwargs or {}),
            )
        except Exception as exc:  # a template is a program of the model's: it may raise anything
            raise BadRequest(
                f"The model's chat template refused the messages: {exc}", param="messages"
            ) from exc
        return text

    def _shaped(self, message: Message) -> str | list[Mapping[str, Any]]:
        content = message["content"]
        if self._takes_parts and message["role"] != "tool":
            return [{"type": "text", "text": content}] if isinstance(content, str) else content
        return content if isinstance(content, str) else _joined(content)

    def _in_known_roles(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """For a template without developers, what they say is the system's, and comes first."""
        if "'developer'" in self._text or '"developer"' in self._text:
            return messages
        if all(message["role"] != "developer" for message in messages):
            return messages
        first: list[dict[str, Any]] = []
        rest: list[dict[str, Any]] = []
        for message in messages:
            (first if message["role"] in ("system", "developer") else rest).append(message)
        contents = [_text_of(message["content"]) for message in first]
        if len(first) == 1 and messages[0] is first[0]:
            return [{**first[0], "role": "system"}, *rest]
        return [{"role": "system", "content": "\n\n".join(filter(None, contents))}, *rest]

    def _seems_to_take_parts(self) -> bool:
        text = self._probe(_PROBE)
        parts = self._probe([{"type": "text", "text": _PROBE}])
        if parts is None or _PROBE not in parts:
            return False
        # One that knows strings only may show the array itself.
        return parts == text or text is None or _PROBE not in text

    def _probe(self, content: str | list[dict[str, str]]) -> str | None:
        try:
            text: str = self._tokenizer.apply_chat_template(
                [{"role": "user", "content": content}], chat_template=self._source, tokenize=False
            )
        except Exception:  # see `render`
            return None
        return text


def _joined(parts: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(part["text"] for part in parts)


def _text_of(content: str | list[Mapping[str, Any]]) -> str:
    return content if isinstance(content, str) else _joined(content)
