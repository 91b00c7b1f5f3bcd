"""The keys of a model that say how it chats. All but `tool_parser` are named as in vLLM.

models:
  - name: my-model
    source: /models/my-model
    tool_parser: hermes            # how it writes calls of tools: tool_choice "auto" needs it
    reasoning_parser: qwen3        # how it marks what it thinks before it answers
    chat_template: my-template.jinja
    default_chat_template_kwargs: {enable_thinking: false}
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from deployments import parser_names
from deployments.chat_template import ContentFormat
from serve_app.section import Section

_PARSERS: dict[str, Callable[[], frozenset[str]]] = {
    "tool_parser": parser_names.tool_parsers,
    "reasoning_parser": parser_names.reasoning_parsers,
}


class ChatConfig(Section):
    """How one model chats."""

    tool_parser: str | None = None
    """vLLM's parser for the calls that the model writes."""
    reasoning_parser: str | None = None
    """vLLM's parser for what the model thinks."""
    tool_strict_level: Literal["auto", "function", "parameter"] = "auto"
    """Which calls are held to their form: those of functions that are `strict`, all calls without
    their arguments, or all calls."""
    chat_template: str | None = None
    """A file with a Jinja template, in place of the model's own."""
    chat_template_content_format: ContentFormat = "auto"
    """Whether the template takes a message as a string or in parts; `auto` tries it."""
    default_chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Variables of the template, for requests that do not set them."""

    @property
    def has_parser(self) -> bool:
        """Whether something has to be read out of what the model says."""
        return self.tool_parser is not None or self.reasoning_parser is not None

    @field_validator("tool_parser", "reasoning_parser")
    @classmethod
    def _parser_is_known(cls, name: str | None, info: ValidationInfo) -> str | None:
        known = _PARSERS[info.field_name or ""]()
        if name is not None and known and name not in known:
            raise ValueError(f"vLLM has no such parser; it has {', '.join(sorted(known))}")
        return name

    @field_validator("chat_template")
    @classmethod
    def _template_is_there(cls, file: str | None) -> str | None:
        if file is None:
            return None
        path = Path(file).expanduser().resolve()  # replicas have directories of their own
        if not path.is_file():
            raise ValueError(f"there is no file {file}")
        return str(path)
