"""Tells when a waiting sequence has waited for too long."""

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable

from deployments.ticket import Ticket

_FEW = 256


class Expiry:
    """Calls `on_due(ticket)` when its time has come, unless it is done by then.

    Times are those of `now`; the loop's own timer only wakes us up.
    """

    def __init__(self, now: Callable[[], float], on_due: Callable[[Ticket], None]) -> None:
        self._now = now
        self._on_due = on_due
        self._heap: list[tuple[float, int, Ticket]] = []
        self._sweep_at = _FEW
        self._numbers = itertools.count()  # tickets have no order of their own
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._loop = asyncio.get_running_loop()

    def add(self, ticket: Ticket, at: float) -> None:
        """Call for `ticket` at `at`; infinity never comes."""
        if at < math.inf:
            if len(self._heap) >= self._sweep_at:
                self._sweep()
            heapq.heappush(self._heap, (at, next(self._numbers), ticket))
            self._set_timer()

    def close(self) -> None:
        """Call for nobody any more."""
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _sweep(self) -> None:
        """Drop those who are done: whoever waits longest would keep all who came after."""
        self._heap = [entry for entry in self._heap if not entry[2].done]
        heapq.heapify(self._heap)
        self._sweep_at = max(_FEW, 2 * len(self._heap))

    def _set_timer(self) -> None:
        heap = self._heap
        while heap and heap[0][2].done:  # most are served long before
            heapq.heappop(heap)
        if not heap or heap[0][0] >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = heap[0][0]
        self._timer = self._loop.call_later(max(0.0, self._timer_at - self._now()), self.ring)

    def ring(self) -> None:
        """Call for everyone whose time has come."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, math.inf
        now = self._now()
        due = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        for ticket in due:
            if not ticket.done:
                self._on_due(ticket)
        self._set_timer()
