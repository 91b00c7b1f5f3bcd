"""What a request has to expect: the forecast, fed with what engines and queue show."""

import math
from collections.abc import Callable, Iterable

from deployments.link import EngineLink
from deployments.messages import Delta
from deployments.scheduling.forecast import Average, Forecast, Situation
from deployments.scheduling.queue import Queue
from deployments.ticket import OUTPUT_WEIGHT, Ticket

_FRESH_S = 0.05
"""For so long the look at what is running is good enough."""


class Outlook:
    """Watches one model's queue and engines, and predicts the next request's wait."""

    def __init__(
        self,
        queue: Queue[Ticket],
        links: Callable[[], Iterable[EngineLink]],
        now: Callable[[], float],
    ) -> None:
        self.forecast = Forecast()
        self._queue = queue
        self._links = links
        self._now = now
        self._cost = self._prompts = 0.0
        self._window_began = now()
        self._always_waited = False
        self._informed_at = math.inf
        """When the engines' pace became known."""
        self._prompt_share = Average()
        """Of a request's cost, what its prompt makes."""
        self._remaining: list[float] = []
        self._remaining_at = float("-inf")

    def first_token_s(self, ticket: Ticket) -> float:
        """How long a ticket that came now would wait for its first token."""
        ahead = self._queue.ahead(ticket.terms, ticket.cost)
        rooms = [(link, link.room) for link in self._links() if link.takes_work]
        free = sum(room.slots - room.reserved for _, room in rooms if room.slots > room.reserved)
        prompts_ahead = ahead.cost * self._prompt_share.or_else(0.0)
        situation = Situation(
            jobs_ahead=ahead.jobs,
            cost_ahead=ahead.cost,
            free_slots=free,
            remaining_s=self._running() if ahead.jobs >= free else (),
            prefilling=sum(link.prefilling for link, _ in rooms) + prompts_ahead,
            steps=self._steps(ticket),
        )
        return self.forecast.first_token_s(situation)

    def in_engine_s(self, ticket: Ticket) -> float:
        """How long an engine takes to a ticket's first token."""
        return self.forecast.in_engine_s(self._steps(ticket))

    def began(self, ticket: Ticket, delta: Delta) -> None:
        """A ticket's engine has brought its first delta."""
        assert ticket.placed_at is not None
        now = self._now()
        self._prompt_share.add(ticket.context / ticket.cost)
        self._prompts += ticket.context - delta.num_cached_tokens
        self._cost += ticket.context
        self.forecast.began(now - ticket.placed_at, self._steps(ticket))
        if not ticket.stream.begun:
            informed = ticket.arrived_at > self._informed_at
            self.forecast.settle(
                ticket.stream.predicted_s, now - ticket.arrived_at, informed=informed
            )

    def generated(self, tokens: int) -> None:
        """So many tokens have come."""
        self._cost += OUTPUT_WEIGHT * tokens

    def nobody_waits(self) -> None:
        """The queue is empty: engines may work below their pace from now on."""
        self._always_waited = False

    def tick(self) -> None:
        """End a window of observation and begin the next."""
        now = self._now()
        if self._always_waited and now > self._window_began:
            self.forecast.served(self._cost, self._prompts, now - self._window_began)
            self._informed_at = min(self._informed_at, now)
        self._cost = self._prompts = 0.0
        self._window_began = now
        self._always_waited = len(self._queue) > 0

    def _steps(self, ticket: Ticket) -> float:
        """Engine steps to a ticket's first token, its prompt taken in in as many as it needs."""
        for link in self._links():
            return 1 + ticket.context / link.capacity.max_num_batched_tokens
        return 1.0

    def _running(self) -> list[float]:
        """How long each running sequence is expected to take yet, in seconds, ascending."""
        now = self._now()
        if now - self._remaining_at >= _FRESH_S:
            self._remaining_at = now
            self._remaining = sorted(
                ticket.remaining * link.report.step_time_s
                for link in self._links()
                for ticket in link.tickets
            )
        return self._remaining
