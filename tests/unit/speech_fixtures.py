"""A model that marks its thoughts and calls in the simplest way, and the parser of it.

It says pieces that end with a semicolon: `~` begins a thought, `!name:` a call, `+` what comes next
of the last call's arguments; `?` says nothing, and all else is content.
"""

from dataclasses import dataclass, field
from typing import Any

from deployments.messages import Reasoning, StructuredOutputs
from deployments.speech import Asked, CallPiece, Said


@dataclass
class FakeReader:
    """Reads pieces that are not cut."""

    reasons: bool = True
    only_content_follows: bool = False
    reads: list[str] = field(default_factory=list)
    reasoning_tokens: int = 0
    _calls: int = 0

    def read(self, text: str, token_ids: list[int], *, last: bool) -> Said:
        self.reads.append(text)
        said = Said()
        for piece in text.split(";"):
            said.add(self._read(piece))
        if said.reasoning:
            self.reasoning_tokens += len(token_ids)
        return said

    def read_whole(self, text: str, token_ids: list[int]) -> Said:
        return self.read(text, token_ids, last=True)

    def _read(self, piece: str) -> Said:
        match piece[:1]:
            case "~" if self.reasons:
                return Said(reasoning=piece[1:])
            case "!":
                name, _, arguments = piece[1:].partition(":")
                self._calls += 1
                return Said(calls=[CallPiece(self._calls - 1, arguments, name)])
            case "+":
                return Said(calls=[CallPiece(self._calls - 1, piece[1:])])
            case "?":
                return Said()
        return Said(content=piece)


@dataclass
class FakeHeard:
    """A chat with such a model."""

    asked: Asked
    structured_outputs: StructuredOutputs | None
    skip_special_tokens: bool = False
    spaces_between_special_tokens: bool = False
    reasoning: Reasoning | None = None
    readers: list[FakeReader] = field(default_factory=list)

    def reader(self) -> FakeReader:
        self.readers.append(FakeReader(reasons=self.asked.include_reasoning))
        return self.readers[-1]


@dataclass
class FakeParsing:
    """The parser of such a model, and what it has heard."""

    calls: bool = True
    reasons: bool = False
    calls_in_its_own_words: bool = True
    form: StructuredOutputs | None = None
    """What calls have to look like."""
    heard: list[FakeHeard] = field(default_factory=list)

    def hear(self, asked: Asked) -> FakeHeard:
        form = asked.structured_outputs if asked.tools is None else self.form
        reasoning = Reasoning(False, "{}") if form and self.reasons else None
        self.heard.append(FakeHeard(asked, form, reasoning=reasoning))
        return self.heard[-1]

    @property
    def asked(self) -> Asked:
        """What it was asked last."""
        return self.heard[-1].asked


def spoken_chat(**fields: Any) -> dict[str, Any]:
    """The fields of a chat that may be answered by a call of `weather` or `time`."""
    tools = [{"type": "function", "function": {"name": name}} for name in ("weather", "time")]
    return {"tools": tools, **fields}
