"""A dispatcher before simulated engines, under a clock that the test moves: no sockets, no waiting.

An engine takes prompts in, so many tokens a step, and generates a token a step for each sequence
that it has taken in. The tokens of a sequence are 0, 1, 2, ...: they show whether an engine that
goes on with what another began has lost or doubled any.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from deployments.directory import Replica
from deployments.dispatcher import Dispatcher, Rules
from deployments.errors import SluiceError
from deployments.link import EngineLink
from deployments.messages import Delta, Load, Sampling, Step
from deployments.scheduling.breaker import Breaker
from deployments.scheduling.room import Capacity
from deployments.scheduling.terms import Terms
from deployments.stream import Stream
from deployments.ticket import Ticket
from tests.unit.fakes import SECRET, FakeClock

STEP_S = 0.1
FACTS: Mapping[str, Any] = {
    "max_model_len": 4096,
    "block_size": 16,
    "max_num_seqs": 4,
    "kv_cache_tokens": 2000,
    "max_num_batched_tokens": 64,
}
_names = itertools.count()


class SimulatedLink(EngineLink):
    """A link whose other end is simulated; only what crosses the connection is replaced."""

    def __init__(self, dispatch: Dispatcher, clock: FakeClock, **facts: Any) -> None:
        # Not EngineLink's own, which would connect.
        self.replica = Replica(f"engine-{next(_names)}", "", 0, SECRET, {**FACTS, **facts})
        self.tells_step_s = STEP_S
        """What it says that a step takes."""
        self.report = Load(step_time_s=STEP_S)
        self.others = 0
        self.prefilling = 0
        self.beats_missed = 0
        self.breaker = Breaker()
        self.capacity = Capacity.of(self.replica.facts)
        self.alive = True
        self.frozen = False
        self.received: list[Ticket] = []
        self._owed = 0.0
        self._had = 0
        self._probe = -1
        self._dispatch = dispatch
        self._now = clock
        self._heard_at = clock()
        self._ids = itertools.count()
        self._tickets = {}
        self._starting = []
        self._aborting = []
        self._connection = None
        self._taken_in: dict[int, int] = {}
        """How many tokens each sequence has been given of the engine's steps."""

    def _flush_soon(self) -> None:
        """There is no connection; `step` looks at the tickets."""

    @property
    def takes_work(self) -> bool:
        return self.alive and not self.frozen and super().takes_work

    def submit(self, ticket: Ticket, cached: int = 0) -> None:
        assert self.alive
        self.received.append(ticket)
        super().submit(ticket, cached)

    def step(self) -> None:
        """One engine step, and the message that tells of it."""
        if not self.alive or self.frozen:
            return
        self._heard_at = self._now()
        self._had = len(self._tickets)
        budget: int = self.replica.facts["max_num_batched_tokens"]
        deltas = []
        for identity, ticket in list(self._tickets.items()):
            taken = self._taken_in.setdefault(identity, 0)
            if taken < ticket.context:
                chunk = min(budget, ticket.context - taken)
                budget -= chunk
                self._taken_in[identity] = taken + chunk
                if taken + chunk < ticket.context:
                    continue
            deltas.append(self._delta(identity, ticket))
            self._taken_in[identity] += 1
        tokens = 0
        for delta in deltas:
            if delta.id in self._tickets:
                tokens += self._deliver(Step([delta], self.report))
        self.report = Load(
            running=len(self._tickets),
            kv_cache_usage=self._usage(),
            step_time_s=self.tells_step_s,
            draining=self.report.draining,
        )
        self._dispatch.heard(self, tokens)

    def die(self) -> None:
        """The engine is gone, in the middle of whatever it did."""
        self.alive = False
        self._taken_in.clear()
        self._lose_all()

    def _usage(self) -> float:
        used = sum(min(self._taken_in.get(i, 0), t.context) for i, t in self._tickets.items())
        return min(1.0, used / self.capacity.kv_cache_tokens)

    def _delta(self, identity: int, ticket: Ticket) -> Delta:
        token = len(ticket.emitted)
        last = token + 1 >= ticket.sampling.max_tokens
        return Delta(identity, f"{token} ", [token], "length" if last else None)


class Site:
    """A dispatcher, its engines, and everyone who has asked for something."""

    def __init__(self, engines: int = 1, rules: Rules | None = None, **facts: Any) -> None:
        self.clock = FakeClock()
        self.links: list[SimulatedLink] = []
        self.rules = rules or Rules()
        self.dispatcher = Dispatcher(
            lambda: [link for link in self.links if link.alive], self.rules, self.clock
        )
        self.facts = facts
        self.asked: list[Asked] = []
        for _ in range(engines):
            self.start_engine()
        self.dispatcher.tick()

    def start_engine(self) -> SimulatedLink:
        """One more engine."""
        link = SimulatedLink(self.dispatcher, self.clock, **self.facts)
        self.links.append(link)
        return link

    def ask(
        self, prompt: int = 16, output: int = 4, terms: Terms | None = None, count: int = 1
    ) -> "Asked":
        """A request of `count` sequences; what is refused has its error at once."""
        first = 10_000 * len(self.asked)  # no two have a prefix in common
        prompts = [list(range(first, first + prompt))] * count
        self.asked.append(Asked(self, prompts, output, terms or Terms()))
        return self.asked[-1]

    def step(self, times: int = 1) -> None:
        """Time goes on by a step of every engine."""
        for _ in range(times):
            self.clock.advance(STEP_S)
            for link in self.links:
                link.step()
            self.dispatcher.tick()
            for asked in self.asked:
                if asked.failure is not None:  # its reader gets the error, and leaves
                    self.dispatcher.release(asked.tickets)

    def close(self) -> None:
        self.dispatcher.close()


class Asked:
    """A request and what has come of it."""

    def __init__(self, site: Site, prompts: Sequence[list[int]], output: int, terms: Terms) -> None:
        self.site = site
        self.output = output
        self.terms = terms
        self.asked_at = site.clock()
        self.error: SluiceError | None = None
        self.cancelled = False
        self.tickets: list[Ticket] = []
        self.stream = Stream(len(prompts), 10**9)
        sampling = Sampling(max_tokens=output)
        try:
            self.tickets = site.dispatcher.admit(
                [(prompt, sampling) for prompt in prompts], terms, self.stream
            )
        except SluiceError as exc:
            self.error = exc
        self.refused = self.error is not None

    def cancel(self) -> None:
        """The client leaves."""
        self.cancelled = True
        self.site.dispatcher.release(self.tickets)

    @property
    def failure(self) -> BaseException | None:
        """Why it got no answer, or no whole one."""
        return self.error or self.stream._error

    @property
    def tokens(self) -> list[list[int]]:
        """All that has come, by sequence."""
        tokens: list[list[int]] = [[] for _ in self.tickets]
        for index, delta in self.stream._pending:
            tokens[index] += delta.token_ids
        return tokens

    @property
    def is_complete(self) -> bool:
        return self.failure is None and not self.stream.unfinished

    @property
    def has_ended(self) -> bool:
        return self.cancelled or self.failure is not None or not self.stream.unfinished
