"""Who goes next, and to which engine: the queue of one model's sequences before its engines.

Requests wait here until an engine has room for them, so that who goes first, where, and whether it
is still worth it are decided at the last moment. The decisions are those of `scheduling`; this is
the shell around them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from deployments.admission import Admission, lost, no_engine
from deployments.errors import BadRequest, SluiceError
from deployments.expiry import Expiry
from deployments.link import EngineLink
from deployments.messages import Adapter, Delta, Pooling, Sampling
from deployments.metering.meter import Meter
from deployments.outlook import Outlook
from deployments.placer import Placer
from deployments.scheduling.fair_queue import AGEING_S, FairQueue
from deployments.scheduling.fifo import FifoQueue
from deployments.scheduling.queue import Queue
from deployments.scheduling.terms import Level, Terms
from deployments.stream import Stream
from deployments.ticket import Ticket, work

GRACE_S = 2.0
"""How long sequences wait for any engine at all to take work."""


@dataclass(frozen=True)
class Rules:
    """What the configuration says of the queue; serve_app/router_config.py has the words."""

    queue: str = "fair"
    placement: str = "prefix"
    max_queued_tokens: float = 1_000_000
    max_wait_s: float = 600.0
    max_moves: int = 5
    may_sleep: bool = False
    """Whether there may be no engine at all until somebody asks: who asks then waits for one."""
    ageing_s: Mapping[Level, float] = field(default_factory=lambda: AGEING_S)


class Dispatcher:
    """Admits sequences, keeps them in order, places them, and moves them when an engine is lost.

    `links` gives the links to all running engines. Everything happens on one event loop.
    """

    def __init__(
        self, links: Callable[[], Iterable[EngineLink]], rules: Rules, now: Callable[[], float]
    ) -> None:
        self._links = links
        self._rules = rules
        self._now = now
        fair = rules.queue == "fair"
        self._queue: Queue[Ticket] = FairQueue(ageing_s=rules.ageing_s) if fair else FifoQueue()
        self._placer = Placer(rules.placement, links, now, reserves=fair)
        self.outlook = Outlook(self._queue, links, now)
        """What requests have to expect."""
        self._admission = Admission(
            self._queue,
            self.outlook,
            links,
            max_queued_tokens=rules.max_queued_tokens,
            max_wait_s=rules.max_wait_s,
        )
        self._expiry = Expiry(now, self._on_due)
        self._no_engine_since: float | None = now()
        self._closed = False
        self.meter = Meter()
        """What has become of requests."""
        self.open = 0
        """Sequences that wait or are under way."""
        self.arrived = dict.fromkeys(Level, 0.0)
        """Work that has been asked for, by level, and be it in vain."""
        self.moves = 0
        """How often a sequence has gone on with another engine."""

    def waiting(self) -> Mapping[Level, tuple[int, float]]:
        """Sequences that wait, and their cost, by level."""
        return self._queue.waiting()

    def admit(
        self,
        sequences: Iterable[tuple[list[int], Sampling | Pooling]],
        terms: Terms,
        stream: Stream,
        adapter: Adapter | None = None,
    ) -> list[Ticket]:
        """Take a request in; raises Overloaded, or EngineUnavailable, where that is no use."""
        now = self._now()
        if terms.priority and not isinstance(self._queue, FairQueue):
            raise BadRequest(
                "'priority' must be 0: this server's queue is in the order of arrival.",
                param="priority",
            )
        if self._closed or self._has_no_engine():
            raise no_engine()
        output_tokens = self.outlook.forecast.output_tokens
        account = self.meter.accounts[terms.tenant]
        tickets = [
            Ticket(
                prompt,
                params,
                stream,
                index,
                terms,
                expected_output=output_tokens(params.max_tokens),
                now=now,
                adapter=adapter,
                account=account,
            )
            for index, (prompt, params) in enumerate(sequences)
        ]
        self.arrived[terms.level] += sum(ticket.cost for ticket in tickets)
        self._admission.check(tickets)
        self.open += len(tickets)
        for ticket in tickets:
            self._queue.push(ticket)
        self._pump()
        for ticket in tickets:
            self._watch(ticket)
        return tickets

    def release(self, tickets: Iterable[Ticket]) -> None:
        """Free whatever of these is still waiting or under way."""
        left = [ticket for ticket in tickets if not ticket.done]
        for ticket in left:
            self._take_out(ticket)
            self._close(ticket)
        if left:
            self._pump()

    # What links report.

    def began(self, link: EngineLink, ticket: Ticket, delta: Delta) -> None:
        """The first delta of a ticket from this engine is about to be passed on."""
        self.outlook.began(ticket, delta)
        self.meter.placed(ticket, delta.num_cached_tokens)
        if ticket.emitted:
            delta.num_cached_tokens = 0  # the first engine has told how much it had cached
        else:
            self._placer.observed(ticket, link, delta)
            ticket.cached = delta.num_cached_tokens
            self._charge(ticket, ticket.cost - ticket.cached)
        if not ticket.stream.begun:
            assert ticket.placed_at is not None
            ticket.stream.begun = True
            ticket.stream.waited_s = ticket.placed_at - ticket.arrived_at
            self.meter.began(ticket, self._now())

    def ended(self, link: EngineLink, ticket: Ticket, delta: Delta) -> None:
        """The last delta of a ticket is about to be passed on, unless it reports an error."""
        self._placer.left(ticket)
        if delta.finish_reason != "error":
            ticket.finish_reason = delta.finish_reason
            self.meter.finished[str(delta.finish_reason)] += 1
            self.outlook.forecast.ended(len(ticket.emitted))
            self._placer.remember(ticket, link)
            self._close(ticket)
        elif delta.bad_request:
            error = delta.error or "The engine refused the request."
            self._fail(ticket, BadRequest(error, param=delta.param))
        else:
            if not ticket.moves:  # one sequence that fails everywhere says nothing of the engines
                link.breaker.failed(self._now())
            self._move([ticket], counts=True)

    def lost(self, link: EngineLink, tickets: list[Ticket]) -> None:
        """An engine is gone: others go on with what it had."""
        counts = not link.report.draining
        if counts:
            link.breaker.failed(self._now())
        self._leave(link, tickets, counts=counts)
        self._pump()

    def heard(self, link: EngineLink, tokens: int) -> None:
        """A message has been worked through: there may be room now."""
        self.outlook.generated(tokens)
        if self._queue:
            self._pump()

    def tick(self) -> None:
        """Look after what no message tells; call it several times a second."""
        self.outlook.tick()
        self._expiry.ring()
        links = list(self._links())
        if any(link.takes_work for link in links):
            for link in links:
                if not link.report.progressing and link.in_flight:
                    self._leave(link, link.take_all(), counts=True)
        elif self._has_no_engine():
            for ticket in list(self._queue):
                self._queue.remove(ticket)
                self._fail(ticket, lost() if ticket.emitted else no_engine())
        if self._queue:
            self._charge_overruns(links)
            self._pump()

    def close(self) -> None:
        """The router ends, and nobody will go on with what waits."""
        self._closed = True
        self._expiry.close()
        for ticket in list(self._queue):
            self._queue.remove(ticket)
            self._fail(ticket, lost())

    def _pump(self) -> None:
        """Send engines whatever they have room for."""
        queue, placer, now = self._queue, self._placer, self._now()
        while queue and placer.look():
            ticket = queue.select(now, placer.allows)
            if ticket is None:
                break
            ticket.charged = ticket.charged or ticket.cost
            link = placer.choose(ticket)
            assert link is not None  # it is allowed, so it fits
            if link.in_flight and now + self.outlook.in_engine_s(ticket) > ticket.deadline:
                self._fail(ticket, self._admission.too_late(ticket))
            else:
                placer.place(ticket, link)
        if not queue:
            self.outlook.nobody_waits()

    def _has_no_engine(self) -> bool:
        """Whether no engine has taken work for longer than one may wait for that."""
        if self._rules.may_sleep or any(link.takes_work for link in self._links()):
            self._no_engine_since = None
            return False
        if self._no_engine_since is None:
            self._no_engine_since = self._now()
        return self._now() - self._no_engine_since >= GRACE_S

    def _watch(self, ticket: Ticket) -> None:
        if not ticket.done:
            self._expiry.add(ticket, self._latest(ticket))

    def _latest(self, ticket: Ticket) -> float:
        """Until when a ticket may be where it is."""
        if ticket.place is not None:
            return ticket.deadline
        return min(ticket.deadline, ticket.waits_since + self._rules.max_wait_s)

    def _on_due(self, ticket: Ticket) -> None:
        if self._now() < self._latest(ticket):
            return self._watch(ticket)
        self._take_out(ticket)
        return self._fail(ticket, self._admission.too_late(ticket))

    def _take_out(self, ticket: Ticket) -> None:
        """From the queue, or from its engine."""
        if ticket.place is None:
            self._queue.remove(ticket)
        else:
            ticket.place[0].withdraw(ticket)
            self._placer.left(ticket)

    def _leave(self, link: EngineLink, tickets: list[Ticket], *, counts: bool) -> None:
        """Let others go on with what an engine had; nothing that it has cached counts any more."""
        self._placer.forget(link)
        for ticket in tickets:
            self._placer.left(ticket)
        self._move(tickets, counts=counts)

    def _move(self, tickets: list[Ticket], *, counts: bool) -> None:
        """Let other engines go on with these, in their order."""
        for ticket in tickets:
            if self._closed or (counts and ticket.moves >= self._rules.max_moves):
                self._fail(ticket, lost())
                continue
            ticket.moves += counts
            ticket.hops[-1].outcome = "moved"
            self.moves += 1
            ticket.waits_since = self._now()
            self._queue.give_back(ticket)
            self._watch(ticket)

    def _charge_overruns(self, links: Iterable[EngineLink]) -> None:
        for link in links:
            for ticket in link.tickets:
                if len(ticket.emitted) > ticket.expected_output:
                    self._charge(ticket, _worked(ticket))

    def _charge(self, ticket: Ticket, cost: float) -> None:
        """Correct what a ticket's tenant has been charged for it."""
        if cost != ticket.charged:
            self._queue.correct(ticket.terms, cost - ticket.charged)
            ticket.charged = cost

    def _fail(self, ticket: Ticket, error: SluiceError) -> None:
        if ticket.stream.fail(error):
            self.meter.classes[ticket.terms.level].failed[str(error.code)] += 1
        self._close(ticket)

    def _close(self, ticket: Ticket) -> None:
        """Nothing more comes of a ticket; its tenant pays for what engines did."""
        if not ticket.done:
            self.open -= 1
        ticket.done = True
        if ticket.charged:
            worked = ticket.placed_at is not None
            self._charge(ticket, _worked(ticket) if worked else 0.0)


def _worked(ticket: Ticket) -> float:
    return work(len(ticket.prompt) - ticket.cached, len(ticket.emitted))
