"""What a streamed answer says, line by line as it comes. Pure."""

import json
from dataclasses import dataclass, field
from typing import Any

_DATA = b"data:"
_DONE = b"[DONE]"


@dataclass
class Stream:
    """An answer of one choice to a chat or a completion."""

    pieces: list[str] = field(default_factory=list)
    tokens: int | None = None
    """Of the answer, by the server's own count."""
    prompt_tokens: int = 0
    failure: str | None = None
    """The code of the error event that ended it."""
    done: bool = False

    def take(self, line: bytes) -> bool:
        """The next line; returns whether it bears tokens."""
        if not line.startswith(_DATA):
            return False  # the end of an event, or a comment that keeps the connection up
        data = line[len(_DATA) :].strip()
        if data == _DONE:
            self.done = True
            return False
        try:
            event: dict[str, Any] = json.loads(data)
        except ValueError:
            self.failure = "event that is no JSON"
            return False
        if "error" in event:
            self.failure = f"stream {(event['error'] or {}).get('code')}"
        if usage := event.get("usage"):
            self.tokens = usage["completion_tokens"]
            self.prompt_tokens = usage["prompt_tokens"]
        said = "".join(map(_text, event.get("choices", ())))
        if said:
            self.pieces.append(said)
        return bool(said)

    @property
    def error(self) -> str | None:
        """Why it is no whole answer; None when it is one."""
        if self.failure is None and not self.done:
            return "stream without [DONE]"
        if self.failure is None and self.tokens is None:
            return "stream without usage"
        return self.failure


def _text(choice: dict[str, Any]) -> str:
    delta = choice.get("delta") or {}
    thought = delta.get("reasoning_content") or delta.get("reasoning") or ""
    return choice.get("text") or thought + (delta.get("content") or "")
