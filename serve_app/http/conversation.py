"""The messages of a chat: what clients may send, and what chat templates get."""

from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from serve_app.http.fields import Quick
from serve_app.http.parsing import INVALID_TYPE, StrictObject, never, not_yet


class TextPart(StrictObject):
    """A piece of a message."""

    type: Annotated[
        Literal["text"],
        not_yet("audio_url", "file", "image_url", "input_audio", "refusal", "video_url"),
    ]
    text: str


def _content_kind(value: object) -> str | None:
    return "text" if isinstance(value, str) else "parts" if isinstance(value, list) else None


class Message(StrictObject):
    """One turn of a conversation."""

    unsupported = MappingProxyType(
        {
            **never("audio function_call name reasoning reasoning_content refusal tool_calls"),
            "annotations": ([],),
        }
    )

    role: Annotated[
        Literal["system", "developer", "user", "assistant"], not_yet("function", "tool")
    ]
    content: Annotated[
        Annotated[str, Tag("text")] | Annotated[Quick[TextPart], Field(min_length=1), Tag("parts")],
        Discriminator(
            _content_kind,
            custom_error_type=INVALID_TYPE,
            custom_error_message="must be a string or an array of text parts",
        ),
    ]

    def for_template(self) -> dict[str, str]:
        """The message as chat templates take it."""
        content = self.content
        return {
            "role": "system" if self.role == "developer" else self.role,
            # As vLLM joins them.
            "content": content if isinstance(content, str) else "\n".join(p.text for p in content),
        }
