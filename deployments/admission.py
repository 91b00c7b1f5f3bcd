"""Who is not taken in, or not served any more, and in which words."""

import math
from collections.abc import Callable, Iterable, Sequence

from deployments.errors import (
    DeadlineExceeded,
    EngineFailed,
    EngineUnavailable,
    Overloaded,
    SluiceError,
)
from deployments.link import EngineLink
from deployments.outlook import Outlook
from deployments.scheduling.queue import Queue
from deployments.ticket import Ticket

_LEAST_RETRY_S = 0.05
_HARD_LIMIT = 4
"""So many times the bound may wait in all, whoever is before whom."""
_RETRY_S = 1.0
"""When to come back while nothing better is known."""


class Admission:
    """Refuses at once what would come too late or find the queue full."""

    def __init__(
        self,
        queue: Queue[Ticket],
        outlook: Outlook,
        links: Callable[[], Iterable[EngineLink]],
        *,
        max_queued_tokens: float,
        max_wait_s: float,
    ) -> None:
        self._queue = queue
        self._outlook = outlook
        self._links = links
        self._max_queued_tokens = max_queued_tokens
        self._max_wait_s = max_wait_s

    def check(self, tickets: Sequence[Ticket]) -> None:
        """Raises Overloaded where it is no use to take a request in."""
        self._check_bound(tickets)
        self._check_deadline(tickets[0])

    def too_late(self, ticket: Ticket) -> SluiceError:
        """Why a ticket has been dropped whose time has passed."""
        if ticket.stream.begun:
            return EngineFailed(f"No engine could go on with it within {self._max_wait_s:g} s.")
        allowed = self._allowed_s(ticket)
        return DeadlineExceeded(
            f"The first token did not come within the {allowed:g} s that this request may wait.",
            retry_after_s=self._again_s(ticket, self._outlook.first_token_s(ticket), allowed),
        )

    def _check_bound(self, tickets: Sequence[Ticket]) -> None:
        queue, terms = self._queue, tickets[0].terms
        if not queue:
            return
        cost = sum(ticket.cost for ticket in tickets)
        # What waits behind it is not in its way: who floods fills the queue for himself first.
        before = queue.ahead(terms).cost
        too_much = max(
            before + cost - self._max_queued_tokens,
            queue.cost + cost - _HARD_LIMIT * self._max_queued_tokens,
        )
        if too_much <= 0:
            return
        rate = self._outlook.forecast.rate
        raise Overloaded(
            "The server's queue is full. Try again later.",
            retry_after_s=max(_LEAST_RETRY_S, too_much / rate) if rate else _RETRY_S,
        )

    def _check_deadline(self, ticket: Ticket) -> None:
        ticket.stream.predicted_s = predicted_s = self._outlook.first_token_s(ticket)
        allowed = self._allowed_s(ticket)
        if predicted_s <= allowed or self._is_idle():
            return
        raise Overloaded(
            f"The first token would come in about {predicted_s:.1f} s, later than the "
            f"{allowed:g} s that this request may wait. Try again later.",
            retry_after_s=self._again_s(ticket, predicted_s, allowed),
            # An engine alone would take longer: to come back does not help.
            retriable=self._outlook.least_in_engine_s(ticket) <= allowed,
        )

    def _allowed_s(self, ticket: Ticket) -> float:
        return min(ticket.terms.deadline_s or math.inf, self._max_wait_s)

    def _again_s(self, ticket: Ticket, predicted_s: float, allowed_s: float) -> float:
        return max(_LEAST_RETRY_S, self._outlook.again_s(ticket, predicted_s, allowed_s))

    def _is_idle(self) -> bool:
        """Whether nothing is there that could teach the forecast better."""
        return not self._queue and not any(link.in_flight for link in self._links())


def no_engine() -> SluiceError:
    """No engine has taken work for too long."""
    return EngineUnavailable("No engine of this model is ready.", retry_after_s=5)


def lost() -> SluiceError:
    """The engine was lost, and the sequence has moved too often, or nowhere to move to."""
    return EngineFailed("The engine that worked on this request was lost, and no other took over.")
