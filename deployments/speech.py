"""What a sequence says, told apart: what it thinks, what it answers, and which tools it calls."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from deployments.messages import Reasoning, StructuredOutputs

PARSERS_VARIABLES = frozenset(
    {
        "enable_thinking",
        "force_nonempty_content",
        "reasoning_effort",
        "thinking",
        "thinking_mode",
        "tool_call_format",
    }
)
"""Variables of chat templates by which vLLM's parsers go, too; read against 0.32.0."""


@dataclass(slots=True)
class CallPiece:
    """A call of a tool, or what comes next of its arguments. A call's first piece has its name."""

    index: int
    arguments: str = ""
    name: str | None = None
    id: str | None = None
    """The model's own, if it makes any."""


@dataclass(slots=True)
class Said:
    """What a piece of text says, or all of it."""

    reasoning: str = ""
    content: str = ""
    calls: list[CallPiece] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.reasoning or self.content or self.calls)

    def call(self, piece: CallPiece) -> None:
        """Add a piece of a call; what comes next of the last one is joined to it."""
        last = self.calls[-1] if self.calls else None
        if last is not None and last.index == piece.index and piece.name is None:
            last.arguments += piece.arguments
        else:
            self.calls.append(CallPiece(piece.index, piece.arguments, piece.name, piece.id))

    def add(self, later: "Said") -> None:
        """Take in what was said next."""
        self.reasoning += later.reasoning
        self.content += later.content
        for piece in later.calls:
            self.call(piece)


class Reader(Protocol):
    """Reads what one sequence says, piece by piece or at once."""

    @property
    def only_content_follows(self) -> bool:
        """Whether all text to come is content, which needs no reader."""

    @property
    def reasoning_tokens(self) -> int:
        """How many of the tokens that have been read were for thinking; exact when all are."""

    def read(self, text: str, token_ids: list[int], *, last: bool) -> Said:
        """What the next piece says. Text may be held back until it is clear what it is."""

    def read_whole(self, text: str, token_ids: list[int]) -> Said:
        """What a whole answer says; nothing else is read then."""


@dataclass(frozen=True)
class Asked:
    """What the parser of a model has to know of a chat. Names are those of vLLM's request."""

    prompt_token_ids: list[int]
    messages: Sequence[Mapping[str, Any]] = ()
    tools: list[dict[str, Any]] | None = None
    """None where the parser has to look for no calls."""
    tool_choice: str | dict[str, Any] = "none"
    parallel_tool_calls: bool = True
    include_reasoning: bool = True
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    structured_outputs: StructuredOutputs | None = None
    """The form that the client wants, whatever is called."""
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)


class Heard(Protocol):
    """A chat as the parser of its model takes it."""

    structured_outputs: StructuredOutputs | None
    """What the text has to look like, so that it can be parsed."""
    skip_special_tokens: bool
    spaces_between_special_tokens: bool
    reasoning: Reasoning | None
    """What the engine has to know of it where that is the form of the answer only."""

    def reader(self) -> Reader:
        """Who reads one more of the chat's sequences."""


class Parsing(Protocol):
    """How a model marks what it thinks and which tools it calls."""

    @property
    def reasons(self) -> bool:
        """Whether it thinks before it answers."""

    @property
    def calls(self) -> bool:
        """Whether it can be left to it to call a tool."""

    @property
    def calls_in_its_own_words(self) -> bool:
        """Whether a call that has to be made is written as one that need not be, and not as plain
        JSON."""

    def hear(self, asked: Asked) -> Heard:
        """The chat; raises BadRequest. Takes long enough to keep it off an event loop."""


def joined(pieces: Iterable[Said]) -> Said:
    """All that the pieces say; takes time by their length, however many they are."""
    reasoning, content = [], []
    calls: dict[int, list[CallPiece]] = {}
    for said in pieces:
        reasoning.append(said.reasoning)
        content.append(said.content)
        for piece in said.calls:
            calls.setdefault(piece.index, []).append(piece)
    whole = Said("".join(reasoning), "".join(content))
    for index, parts in calls.items():
        arguments = "".join(part.arguments for part in parts)
        whole.calls.append(CallPiece(index, arguments, parts[0].name, parts[0].id))
    return whole


def unsaid(said: Said, whole: Said) -> Said:
    """What a whole answer says beyond what was `said`, all joined, while it came in pieces."""
    rest = Said()
    # Where the two take the text for different things, the content has been said as one of them.
    agree = bool(said.reasoning) == bool(whole.reasoning) and (whole.calls or not said.calls)
    if agree and whole.content.startswith(said.content):
        rest.content = whole.content[len(said.content) :]
    told = {call.index: call.arguments for call in said.calls}
    for call in whole.calls:
        if call.index not in told:
            rest.call(call)
        elif call.arguments.startswith(told[call.index]):
            more = call.arguments[len(told[call.index]) :]
            if more:
                rest.call(CallPiece(call.index, more))
    return rest
