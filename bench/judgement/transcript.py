"""What one stream said, read as it comes, and whether it is what another one said. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

SAME, LOST, DOUBLED, DIFFERENT, BROKEN = "same", "lost", "doubled", "different", "broken"
_EVENT_END = b"\n\n"
_DATA = b"data: "
_DONE = b"[DONE]"


@dataclass
class Transcript:
    """The one choice of a stream of completions, of a chat, or of a chat that calls a tool."""

    text: str = ""
    tool: str = ""
    """Name and arguments of the tool that is called."""
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    error: str | None = None
    done: bool = False
    """Whether `[DONE]` has come."""
    after_the_end: int = 0
    """Events that came after it."""
    _rest: bytes = b""

    def feed(self, body: bytes) -> None:
        """Take in the next bytes of the body, cut wherever they are."""
        *events, self._rest = (self._rest + body).split(_EVENT_END)
        for event in events:
            data = event.removeprefix(_DATA)
            self.after_the_end += self.done
            if data == _DONE:
                self.done = True
            elif data != event:
                self._add(json.loads(data))

    @property
    def whole(self) -> bool:
        """Whether it came to its proper end."""
        ended = self.done and self.finish_reason is not None and self.usage is not None
        return ended and self.error is None and not self.after_the_end and not self._rest

    def _add(self, event: dict[str, Any]) -> None:
        if "error" in event:
            self.error = json.dumps(event["error"])
        self.usage = event.get("usage") or self.usage
        for choice in event.get("choices", ()):
            self.token_ids += choice.get("token_ids") or ()
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            delta = choice.get("delta") or {}
            self.text += choice.get("text") or delta.get("content") or ""
            for call in delta.get("tool_calls") or ():
                function = call.get("function") or {}
                self.tool += (function.get("name") or "") + (function.get("arguments") or "")


def compare(undisturbed: Transcript, other: Transcript) -> tuple[str, str]:
    """What `other` is beside `undisturbed`, and what is wrong with it in a few words."""
    if not other.whole:
        return BROKEN, other.error or "it has no proper end"
    wanted, got = undisturbed.token_ids, other.token_ids
    if got != wanted:
        where = next((i for i, (a, b) in enumerate(zip(wanted, got, strict=False)) if a != b), None)
        said = f"{len(got)} tokens of {len(wanted)}, the first to differ is {where}"
        if is_within(got, wanted):
            return LOST, said
        return (DOUBLED if is_within(wanted, got) else DIFFERENT), said
    for name in ("text", "tool", "finish_reason", "usage"):
        one, another = getattr(undisturbed, name), getattr(other, name)
        if one != another:
            return DIFFERENT, f"{name}: {another!r}, not {one!r}"
    return SAME, ""


def is_within(some: Sequence[int], many: Sequence[int]) -> bool:
    """Whether `some` is what remains of `many` when tokens are taken out of it."""
    rest = iter(many)
    return all(token in rest for token in some)
