"""Which engine gets a sequence: the placement policy, among the engines that have room for it."""

from collections.abc import Callable, Iterable

from deployments.link import EngineLink
from deployments.messages import Delta
from deployments.scheduling.holdings import Holdings
from deployments.scheduling.placement import POLICIES, Placement
from deployments.scheduling.prefixes import block_hashes
from deployments.scheduling.room import Room
from deployments.ticket import Ticket

Rooms = list[tuple[EngineLink, Room]]
PATIENCE_S = 2.0
"""For so long others may go before a prompt that fits nowhere yet."""


class Placer:
    """Knows who has how much with the engines, and what is cached where."""

    def __init__(
        self,
        policy: str,
        links: Callable[[], Iterable[EngineLink]],
        now: Callable[[], float],
        *,
        reserves: bool = True,
    ) -> None:
        """`reserves`: whether the last slots are kept for those who hold few."""
        self._policy = policy
        self._links = links
        self._now = now
        self._reserves = reserves
        self._placement: Placement | None = None
        self._block_size = 0
        self._holdings = Holdings()
        self._open: Rooms = []
        self._few = -1.0
        self._large: Ticket | None = None
        """One that has been passed over because it fits nowhere."""

    def look(self) -> bool:
        """See which engines have room now; False when none has. Call it before the others."""
        now = self._now()
        rooms = [
            (link, link.room)
            for link in self._links()
            if link.takes_work and link.breaker.allows(now)
        ]
        self._few, self._open = self._opened(rooms)
        return bool(self._open)

    def allows(self, ticket: Ticket) -> bool:
        """Whether the room that was seen is for this one.

        The last slots are for those who hold few. A prompt for which no cache has place is passed
        over, but not for ever: after `PATIENCE_S` nobody who is no more urgent goes before it.
        """
        if 0 <= self._few <= self._holdings.of(ticket.terms) or self._yields(ticket):
            return False
        if any(room.fits(ticket.context) for _, room in self._open):
            return True
        if ticket.unfit_since is None:
            ticket.unfit_since = self._now()
        if self._large is None or ticket.terms.level < self._large.terms.level:
            self._large = ticket
        return False

    def choose(self, ticket: Ticket) -> EngineLink | None:
        """The engine for a ticket that is allowed, by the policy."""
        fitting = [link for link, room in self._open if room.fits(ticket.context)]
        self._hash(ticket, fitting[0])
        return self._policy_for(fitting[0]).choose(fitting, ticket.hashes)

    def place(self, ticket: Ticket, link: EngineLink) -> None:
        """Send a ticket to an engine: ahead of others there, if its party holds few, or if its
        answer has begun; else it yields to those who hold few and asked lately."""
        now, holdings = self._now(), self._holdings
        holds_few = holdings.are_few(ticket.terms)
        ticket.ahead = self._reserves and (holds_few or bool(ticket.emitted))
        yields = self._reserves and not ticket.ahead
        ticket.yields = yields and holdings.others_hold_few(ticket.terms, now)
        holdings.add(ticket.terms, now)
        policy = self._policy_for(link)
        cached = policy.cached_tokens(link.name, ticket.hashes)
        policy.placed(link.name, ticket.hashes, _blocks(link))
        link.submit(ticket, cached)

    def left(self, ticket: Ticket) -> None:
        """A ticket is no longer with an engine."""
        self._holdings.drop(ticket.terms)

    def observed(self, ticket: Ticket, link: EngineLink, delta: Delta) -> None:
        """Learn from a first delta what was cached."""
        if ticket.hashes and ticket.sampling.prompt_logprobs is None:  # with those it uses no cache
            cached = delta.num_cached_tokens // self._block_size
            self._policy_for(link).observed(link.name, ticket.hashes, cached)

    def remember(self, ticket: Ticket, link: EngineLink) -> None:
        """An answer has ended: what follows in its conversation finds it cached there."""
        policy = self._policy_for(link)
        blocks = (len(ticket.prompt) + len(ticket.emitted)) // self._block_size
        if policy.needs_hashes and blocks > len(ticket.hashes):
            known = [*ticket.prompt, *ticket.emitted[:-1]]  # the last one was only sampled
            hashes = block_hashes(known, self._block_size, ticket.salt)
            policy.placed(link.name, hashes, _blocks(link))
            policy.observed(link.name, hashes, len(hashes))

    def forget(self, link: EngineLink) -> None:
        """An engine has gone, and its cache with it."""
        if self._placement is not None:
            self._placement.forget(link.name)

    def _opened(self, rooms: Rooms) -> tuple[float, Rooms]:
        """Which rooms are open, and to those who hold fewer than how many; -1 is to everyone."""
        reserved = [(link, room) for link, room in rooms if room.is_reserved]
        if not self._reserves:
            return -1, reserved
        if general := [(link, room) for link, room in reserved if room.is_general]:
            return -1, general
        mean = self._holdings.mean
        if reserved:
            return max(mean, sum(room.reserved for _, room in rooms)), reserved
        return mean, [(link, room) for link, room in rooms if room.is_for_few]

    def _yields(self, ticket: Ticket) -> bool:
        """Whether a ticket has to wait for a large one."""
        large = self._large
        if large is None or large is ticket or large.done or large.place is not None:
            self._large = None
            return False
        assert large.unfit_since is not None
        patient = self._now() - large.unfit_since < PATIENCE_S
        return not patient and ticket.terms.level >= large.terms.level

    def _policy_for(self, link: EngineLink) -> Placement:
        """All engines of a model have blocks of one size, which the first of them tells."""
        if self._placement is None:
            self._block_size = link.replica.facts["block_size"]
            self._placement = POLICIES[self._policy](self._block_size)
        return self._placement

    def _hash(self, ticket: Ticket, link: EngineLink) -> None:
        if self._policy_for(link).needs_hashes and not ticket.hashes:
            ticket.hashes = block_hashes(ticket.prompt, self._block_size, ticket.salt)


def _blocks(link: EngineLink) -> int:
    return link.capacity.kv_cache_tokens // int(link.replica.facts["block_size"])
