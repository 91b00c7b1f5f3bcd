"""A router's connection to one engine replica."""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable
from typing import Protocol

from deployments.directory import Replica
from deployments.messages import (
    PROTOCOL,
    Abort,
    Delta,
    Hello,
    Load,
    Refusal,
    Sequence,
    Step,
    Submit,
    ToRouter,
)
from deployments.metering.inter_token import Moment
from deployments.metering.meter import Meter
from deployments.scheduling.breaker import Breaker
from deployments.scheduling.room import Capacity, Room, room
from deployments.ticket import Hop, Outcome, Ticket
from deployments.wire import Connection

logger = logging.getLogger(__name__)

LATE_AFTER_S = 0.9
"""An engine that has not been heard for this long gets no new work until it is heard again."""
SILENT_AFTER_S = 3.0
"""An engine that has not been heard for this long is not ready."""
LOST_AFTER_S = 5.0
"""An engine that has not been heard for this long has lost what it had, too."""
_FIRST_RETRY_S, _LAST_RETRY_S = 0.1, 2.0
_NEVER = float("-inf")
_A_SEQUENCE = 128
"""Tokens that another router's sequence is taken to need while there is none of ours to go by."""


class Dispatch(Protocol):
    """Who hears of what becomes of the tickets."""

    meter: Meter
    """Where what comes of them is counted."""

    def began(self, link: "EngineLink", ticket: Ticket, delta: Delta) -> None:
        """The first delta of a ticket on this link has come, and is about to be passed on."""

    def ended(self, link: "EngineLink", ticket: Ticket, delta: Delta) -> None:
        """The last delta of a ticket has come; one that reports an error is not passed on."""

    def lost(self, link: "EngineLink", tickets: list[Ticket]) -> None:
        """The engine is gone, and these were there."""

    def heard(self, link: "EngineLink", tokens: int) -> None:
        """A message has been worked through, and it brought so many tokens."""


class EngineLink:
    """Connects, stays connected until closed, and carries sequences there and deltas back.

    Everything that is submitted or aborted in one turn of the event loop goes in one message.
    """

    def __init__(
        self, replica: Replica, router: str, dispatch: Dispatch, now: Callable[[], float]
    ) -> None:
        self.replica = replica
        self.report = Load()
        """What the engine said of itself last."""
        self.others = 0
        """Sequences of other routers on this engine, by its last report."""
        self.prefilling = 0
        """Tokens that were sent to be taken in and of which nothing has come back yet."""
        self.beats_missed = 0
        """How often it has not been heard for `LATE_AFTER_S`, while it was connected."""
        self.breaker = Breaker()
        self.capacity = Capacity.of(replica.facts)
        self._owed = 0.0
        self._had = 0
        """How many sequences were there when it was last heard."""
        self._probe = -1
        """The sequence by which the breaker judges, when it is half open."""
        self._router = router
        self._dispatch = dispatch
        self._now = now
        self._connected_at = self._heard_at = _NEVER
        self._is_late = False
        self._retry_s = _FIRST_RETRY_S
        self._ids = itertools.count()
        self._tickets: dict[int, Ticket] = {}
        self._starting: list[Sequence] = []
        self._aborting: list[int] = []
        self._connection: Connection[ToRouter] | None = None
        self._lost = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._stay_connected())

    @property
    def name(self) -> str:
        """The replica's own."""
        return self.replica.id

    @property
    def tickets(self) -> list[Ticket]:
        """What this router has there."""
        return list(self._tickets.values())

    @property
    def in_flight(self) -> int:
        """How many sequences this router has there."""
        return len(self._tickets)

    @property
    def load(self) -> int:
        """Tokens that the engine has to compute yet, as far as this router knows."""
        mine = self.prefilling + max(0.0, self._owed)
        each = mine / len(self._tickets) if self._tickets else _A_SEQUENCE
        return int(mine + self.others * each)

    @property
    def room(self) -> Room:
        """What may be sent there now."""
        report = self.report
        return room(
            self.capacity,
            in_flight=len(self._tickets),
            others=self.others,
            routers=report.routers,
            kv_cache_usage=report.kv_cache_usage,
            prefilling=self.prefilling,
            sent=max(0, len(self._tickets) - self._had),
        )

    @property
    def beats(self) -> bool:
        """True while the engine is heard and says that it makes progress."""
        return self._now() - self._heard_at < SILENT_AFTER_S and self.report.progressing

    @property
    def takes_work(self) -> bool:
        """True while new sequences may be sent there."""
        report = self.report
        late = self._now() - self._heard_at >= LATE_AFTER_S
        return not late and report.progressing and not report.draining

    def submit(self, ticket: Ticket, cached: int = 0) -> None:
        """Start a sequence, or go on with it; its deltas go to its stream.

        So many tokens of it are taken to be cached there.
        """
        self._flush_soon()
        identity = next(self._ids)
        ticket.place = (self, identity)
        ticket.placed_at, ticket.first_at = self._now(), None
        if ticket.last is not None:
            ticket.last = ticket.last._replace(made_at=None)
        ticket.hops.append(Hop(self.replica.id, ticket.placed_at))
        ticket.owed, ticket.began_with = ticket.remaining, len(ticket.emitted)
        # A form is checked before the engine takes the prompt in, and others need not wait for it.
        formed = ticket.sampling.structured_outputs is not None
        ticket.uncached = 1 if formed else max(1, ticket.context - cached)
        self._tickets[identity] = ticket
        self.prefilling += ticket.uncached
        self._owed += ticket.owed
        if self.breaker.started(ticket.placed_at):
            self._probe = identity
        self._starting.append(ticket.sequence(identity))

    def withdraw(self, ticket: Ticket) -> None:
        """Abort a sequence that is under way here; its stream gets nothing more from here."""
        assert ticket.place is not None
        self._flush_soon()
        self._aborting.append(ticket.place[1])
        self._settle(ticket, "aborted")

    def take_all(self) -> list[Ticket]:
        """Withdraw every sequence, for others to go on with."""
        tickets = self.tickets
        for ticket in tickets:
            self.withdraw(ticket)
        return tickets

    def check(self) -> None:
        """Drop a connection over which nothing has come for too long. Call it now and then."""
        connection = self._connection
        if connection is None:
            return
        silent_s = self._now() - max(self._heard_at, self._connected_at)
        was_late, self._is_late = self._is_late, silent_s >= LATE_AFTER_S
        self.beats_missed += self._is_late and not was_late
        if silent_s > LOST_AFTER_S:
            logger.error("Engine replica %s is silent; its connection is cut.", self.replica.id)
            connection.abort()

    async def close(self) -> None:
        """Disconnect for good; what is still under way is lost."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def _flush_soon(self) -> None:
        if not self._starting and not self._aborting:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        starting, self._starting = self._starting, []
        aborting, self._aborting = self._aborting, []
        connection = self._connection
        if connection is None:
            return  # they were lost with the connection
        if starting:
            connection.send(Submit(starting))
        if aborting:
            connection.send(Abort(aborting))

    def _on_message(self, connection: Connection[ToRouter], message: ToRouter) -> None:
        if isinstance(message, Refusal):
            logger.error("Engine replica %s refuses: %s", self.replica.id, message.reason)
            return
        self._heard_at = connection.received_at
        self.report = report = message.load
        tokens = self._deliver(message) if message.deltas else 0
        self._had = len(self._tickets)
        self.others = max(0, report.running + report.waiting - self._had)
        self._dispatch.heard(self, tokens)

    def _deliver(self, step: Step) -> int:
        tickets = self._tickets
        whole, streamed = kinds = self._dispatch.meter.inter_token
        moments = [Moment(self._heard_at, step.made_at, kind) for kind in kinds]
        tokens = times = 0
        last, share = None, 0  # of so many tokens: nearly all of a step come behind one other step
        for delta in step.deltas:
            ticket = tickets.get(delta.id)
            if ticket is None:
                continue  # withdrawn while it was on its way
            if delta.finish_reason == "error":  # what else is in it does not reach the client
                self._settle(ticket, "failed")
                self._dispatch.ended(self, ticket, delta)
                continue
            if ticket.first_at is None:
                self._begin(ticket, delta)
            if count := len(delta.token_ids):
                tokens += count
                ticket.account.generated += count
                if ticket.last is not last or count != share:
                    if last is not None:
                        last.kind.observe(last, moments[0], share, times)
                    last, share, times = ticket.last, count, 0
                times += count
                ticket.last = moments[ticket.terms.streamed]
            ticket.emitted += delta.token_ids
            if delta.finish_reason is not None:
                self._settle(ticket, "finished")
                self._dispatch.ended(self, ticket, delta)
            ticket.stream.push(ticket.index, delta)
        if last is not None:
            last.kind.observe(last, moments[0], share, times)
        took_s = step.held_s + self._now() - self._heard_at
        whole.took(took_s)
        streamed.took(took_s)
        self._owed -= tokens
        return tokens

    def _begin(self, ticket: Ticket, delta: Delta) -> None:
        ticket.first_at = ticket.hops[-1].first_at = self._now()
        self.prefilling -= ticket.uncached
        self.breaker.succeeded()
        self._dispatch.began(self, ticket, delta)

    def _settle(self, ticket: Ticket, outcome: Outcome) -> None:
        """Close the books on a ticket that is no longer here."""
        assert ticket.place is not None
        hop = ticket.hops[-1]
        hop.left_at, hop.outcome = self._now(), outcome
        identity = ticket.place[1]
        del self._tickets[identity]
        ticket.place = None
        if ticket.first_at is None:
            self.prefilling -= ticket.uncached
            if identity == self._probe:  # it has told nothing; who knows better says so next
                self.breaker.cancelled()
        # What it has brought is taken off with the message that brought it.
        self._owed -= ticket.owed - (len(ticket.emitted) - ticket.began_with)

    def _on_lost(self, _: Connection[ToRouter]) -> None:
        self._connection = None
        if self._heard_at != _NEVER:  # it was a working connection
            self._retry_s = _FIRST_RETRY_S
        self._heard_at = _NEVER
        self._lost.set()
        self._lose_all()

    def _lose_all(self) -> None:
        tickets = self.tickets
        for ticket in tickets:
            self._settle(ticket, "failed")
        self._starting.clear()
        self._aborting.clear()
        if tickets:
            self._dispatch.lost(self, tickets)

    async def _stay_connected(self) -> None:
        try:
            while True:
                try:
                    await self._connect()
                    await self._lost.wait()
                except OSError as exc:
                    logger.debug("No connection to engine replica %s: %s", self.replica.id, exc)
                except Exception:
                    logger.exception("Connecting to engine replica %s failed", self.replica.id)
                await asyncio.sleep(self._retry_s)
                self._retry_s = min(2 * self._retry_s, _LAST_RETRY_S)
        finally:
            if self._connection is not None:
                self._connection.abort()  # the engine frees everything of ours when we are gone
            self._heard_at = _NEVER
            self._lose_all()

    async def _connect(self) -> None:
        self._lost.clear()
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection[ToRouter](ToRouter, self._on_message, self._on_lost, now=self._now),
            self.replica.host,
            self.replica.port,
        )
        self._connected_at = self._now()
        self._connection = connection
        connection.send(Hello(PROTOCOL, self._router, self.replica.secret))
