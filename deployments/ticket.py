"""One sequence on its way through the router: queued, placed, moved to another engine, ended."""

import math
from collections.abc import Sequence as SequenceOf
from typing import TYPE_CHECKING, Literal

from deployments.messages import NOT_SAMPLED, Adapter, Pooling, Sampling, Sequence
from deployments.metering.account import Account
from deployments.metering.inter_token import Moment
from deployments.scheduling.terms import Terms
from deployments.stream import Stream
from deployments.tracing.context import NONE, Trace

if TYPE_CHECKING:
    from deployments.link import EngineLink

OUTPUT_WEIGHT = 2.0
"""What a generated token costs in tokens of a prompt: the weights of the virtual token counter
(Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024)."""

_TRANSIT_S, _TRANSIT_SHARE = 0.02, 0.1


def work(prompt_tokens: float, output_tokens: float) -> float:
    """The cost of so many tokens, in tokens of a prompt."""
    return prompt_tokens + OUTPUT_WEIGHT * output_tokens


def transit_s(deadline_s: float) -> float:
    """What is set aside of a deadline for the way from the client and back to it."""
    return min(_TRANSIT_S, deadline_s * _TRANSIT_SHARE)


Outcome = Literal["finished", "moved", "aborted", "failed"]
"""How a sequence's stay with an engine ended; `aborted`: nobody wants it any more."""

Why = Literal["lost", "draining", "stalled", "error"]
"""Why a sequence moved: its engine was gone, or had to go, stood still, or failed on it."""


class Hop:
    """A sequence's stay with one engine. Times are monotonic seconds."""

    __slots__ = ("engine", "first_at", "left_at", "outcome", "placed_at", "why")

    def __init__(self, engine: str, placed_at: float) -> None:
        self.engine = engine
        self.placed_at = placed_at
        self.first_at: float | None = None
        """When its first delta came from there."""
        self.left_at: float | None = None
        self.outcome: Outcome | None = None
        """None while it is there."""
        self.why: Why | None = None
        """Why it moved on, if it did."""


class Ticket:
    """What the router knows of a sequence. All times are monotonic seconds."""

    __slots__ = (
        "account",
        "adapter",
        "ahead",
        "arrived_at",
        "began_with",
        "cached",
        "charged",
        "cost",
        "done",
        "emitted",
        "expected_output",
        "finish_reason",
        "first_at",
        "hashes",
        "hops",
        "index",
        "last",
        "moves",
        "owed",
        "place",
        "placed_at",
        "pooling",
        "prompt",
        "sampling",
        "stream",
        "terms",
        "trace",
        "uncached",
        "unfit_since",
        "waits_since",
        "yields",
    )

    def __init__(
        self,
        prompt: list[int],
        params: Sampling | Pooling,
        stream: Stream,
        index: int,
        terms: Terms,
        *,
        expected_output: float,
        now: float,
        adapter: Adapter | None = None,
        account: Account | None = None,
        trace: Trace | None = None,
    ) -> None:
        """`account` is that of its tenant."""
        self.prompt = prompt
        self.account = account or Account()
        self.adapter = adapter
        self.trace = trace
        """Of its request, where that is sampled."""
        self.sampling = NOT_SAMPLED if isinstance(params, Pooling) else params
        self.pooling = params if isinstance(params, Pooling) else None
        self.stream = stream
        self.index = index
        self.terms = terms
        self.expected_output = expected_output
        self.cost = work(len(prompt), expected_output)
        """What the tenant is charged at the start."""
        self.charged = 0.0
        """What it has been charged so far."""
        self.cached = 0
        """How many tokens of the prompt its first engine had cached."""
        self.arrived_at = self.waits_since = now
        self.hashes: SequenceOf[int] = ()
        """Of the prompt's blocks, for placement."""
        self.emitted: list[int] = []
        """All the tokens that have come: where another engine would go on."""
        self.finish_reason: str | None = None
        """Why it ended, if it did so in order."""
        self.hops: list[Hop] = []
        """Its stays with engines."""
        self.place: tuple[EngineLink, int] | None = None
        """Which engine has it, and under which id; None while it waits."""
        self.placed_at: float | None = None
        """When an engine last got it."""
        self.first_at: float | None = None
        """When the first delta of that engine came."""
        self.last: Moment | None = None
        """When tokens last came, from whatever engine."""
        self.moves = 0
        """How often it has lost an engine."""
        self.owed = 0.0
        """Tokens that its engine was expected to generate of it when it got it."""
        self.began_with = 0
        """How many tokens had come before that."""
        self.uncached = 0
        """How many tokens that engine had to take in, as far as was known."""
        self.unfit_since: float | None = None
        """Since when no engine has had place for it."""
        self.ahead = False
        """Whether it goes before others that wait in its engine."""
        self.yields = False
        """Whether others that ask now and then are to find short steps there."""
        self.done = False
        """Nothing more will come of it."""

    @property
    def enqueued_at(self) -> float:
        """Since when it counts as waiting, for the queue: the moves between engines aside."""
        return self.arrived_at

    @property
    def deadline(self) -> float:
        """When the first token has to have come; never, once the request has begun to answer."""
        if self.terms.deadline_s is None or self.stream.begun:
            return math.inf
        return self.arrived_at + self.terms.deadline_s - transit_s(self.terms.deadline_s)

    @property
    def salt(self) -> str | None:
        """What keeps its cached prefixes apart: its tenant's salt, and the weights that it uses."""
        salt = self.terms.cache_salt
        return salt if self.adapter is None else f"{self.adapter.id} {salt or ''}"

    @property
    def context(self) -> int:
        """How many tokens an engine has to take in before it can generate."""
        return len(self.prompt) + len(self.emitted)

    @property
    def remaining(self) -> float:
        """How many tokens are expected to come yet."""
        return max(1.0, self.expected_output - len(self.emitted))

    def sequence(self, identity: int) -> Sequence:
        """What an engine gets: all of it, or what is left to do."""
        return Sequence(
            identity,
            self.prompt,
            self.sampling,
            list(self.emitted),
            self.terms.cache_salt,
            self.pooling,
            self.adapter,
            self.ahead,
            *(NONE if self.trace is None else self.trace.placed(self, self.hops[-1])),
            yields=self.yields,
        )
