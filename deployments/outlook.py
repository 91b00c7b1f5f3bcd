"""What a request has to expect: the forecast, fed with what engines and queue show."""

from collections.abc import Callable, Iterable

from deployments.link import EngineLink
from deployments.messages import Delta
from deployments.scheduling.forecast import Average, Forecast, Situation
from deployments.scheduling.queue import NOBODY, Queue
from deployments.ticket import Ticket, work

_LONGEST_WINDOW_S = 10.0
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
        self._tokens = self._taken_in = self._computed = 0
        """In this window: generated, in prompts, and of those not cached."""
        self._worked = 0.0
        """Before this window."""
        self._window_began = now()
        self._always_waited = self._always_full = False
        """Whether all along somebody has waited, and for a slot."""
        self._prompt_share = Average()
        """Of a request's cost, what its prompt makes."""
        self._remaining: list[float] = []
        self._remaining_at = float("-inf")

    def first_token_s(self, ticket: Ticket) -> float:
        """How long a ticket that came now would wait for its first token."""
        queue = self._queue
        ahead = queue.ahead(ticket.terms) if queue else NOBODY
        links = self._at_work()
        rooms = [link.room for link in links]
        free = sum(room.slots - room.reserved for room in rooms if room.slots > room.reserved)
        situation = Situation(
            jobs_ahead=ahead.jobs,
            cost_ahead=ahead.cost,
            free_slots=free,
            remaining=self._running() if ahead.jobs >= free else (),
            step_s=self._step_s(links),
            output=ticket.expected_output,
            prefilling=-sum(room.prefill_tokens for room in rooms),
            on_the_way=_on_the_way(links),
            prompts_ahead=ahead.cost * self._prompt_share.or_else(0.0),
            steps=self._steps(ticket),
        )
        return self.forecast.first_token_s(situation)

    def in_engine_s(self, ticket: Ticket) -> float:
        """How long an engine takes to a ticket's first token."""
        links = self._at_work()
        step_s = self._step_s(links)
        return self.forecast.engine_s(self._steps(ticket), step_s, _on_the_way(links))

    def again_s(self, ticket: Ticket, predicted_s: float, allowed_s: float) -> float:
        """When a ticket that has to have its first token within `allowed_s` would be taken."""
        too_late = predicted_s - allowed_s
        if self.in_engine_s(ticket) <= allowed_s:
            return too_late
        # It is not the queue that is too long but the steps: they shorten as what runs ends.
        step_s = self._step_s(self._at_work())
        return max(too_late, self.forecast.half_done_s(self._running(), step_s))

    def least_in_engine_s(self, ticket: Ticket) -> float:
        """The same for an engine that has nothing else to do."""
        return self.forecast.least_in_engine_s(self._steps(ticket))

    def began(self, ticket: Ticket, delta: Delta) -> None:
        """A ticket's engine has brought its first delta."""
        assert ticket.placed_at is not None
        now = self._now()
        self._prompt_share.add(ticket.context / ticket.cost)
        self._taken_in += ticket.context
        self._computed += ticket.context - delta.num_cached_tokens
        self.forecast.began(now - ticket.placed_at, self._steps(ticket))
        if not ticket.stream.begun:
            self.forecast.settle(ticket.stream.predicted_s, now - ticket.arrived_at)

    def generated(self, tokens: int) -> None:
        """So many tokens have come."""
        self._tokens += tokens

    @property
    def worked(self) -> float:
        """Work that the engines have done so far; a prompt counts when it has been taken in."""
        return self._worked + work(self._taken_in, self._tokens)

    def nobody_waits(self) -> None:
        """The queue is empty: engines may work below their pace from now on."""
        self._always_waited = self._always_full = False

    def tick(self) -> None:
        """End a window of observation and begin the next."""
        now = self._now()
        seconds = now - self._window_began
        links = self._at_work()
        if self._is_between_prompts(links) and seconds < _LONGEST_WINDOW_S:
            return  # a prompt that takes longer than a window counts in the whole of its time
        full = bool(links) and not any(link.room.slots > link.room.reserved for link in links)
        if self._always_waited and seconds > 0:
            cost = work(self._taken_in, self._tokens)
            self.forecast.served(cost, self._computed, seconds)
            if self._always_full and full:
                running = sum(link.in_flight for link in links)
                self.forecast.paced(running, self._tokens, seconds)
        self._worked = self.worked
        self._tokens = self._taken_in = self._computed = 0
        self._window_began = now
        self._always_waited = len(self._queue) > 0
        self._always_full = self._always_waited and full

    def _at_work(self) -> list[EngineLink]:
        return [link for link in self._links() if link.takes_work]

    def _is_between_prompts(self, links: Iterable[EngineLink]) -> bool:
        taking_in = any(link.prefilling for link in links)
        return self._always_waited and not self._computed and taking_in

    def _step_s(self, at_work: list[EngineLink]) -> float:
        """What an engine step takes now; 0 while no engine knows."""
        links = at_work or self._links()
        return max((link.report.step_time_s for link in links), default=0.0)

    def _steps(self, ticket: Ticket) -> float:
        """Engine steps to a ticket's first token, its prompt taken in in as many as it needs."""
        for link in self._links():
            return 1 + ticket.context / link.capacity.max_num_batched_tokens
        return 1.0

    def _running(self) -> list[float]:
        """How many tokens each running sequence is expected to generate yet, ascending."""
        now = self._now()
        if now - self._remaining_at >= _FRESH_S:
            self._remaining_at = now
            self._remaining = sorted(
                ticket.remaining for link in self._links() for ticket in link.tickets
            )
        return self._remaining


def _on_the_way(links: list[EngineLink]) -> float:
    """Tokens of prompts that an engine has to take in, on average."""
    return sum(link.prefilling for link in links) / max(1, len(links))
