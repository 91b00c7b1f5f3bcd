"""What a model's replicas can do: how many work, how fast, and when others will. Pure.

All of it is measured. A replica's rate is what the replicas worked off together, by their number,
while something waited all along; as long as nothing waits, it is at least what they work off. How
long a start takes is told by those that became ready, from the moment in which they were asked for:
a new node, its set-up, the weights and the warm-up are all in it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from deployments.scheduling.demand import smoothed

SETTLED_S = 3.0
"""For so long the number of replicas has not changed when their work is taken for that of each; the
time over which that work is counted must not be longer."""
COLD_START_S = 60.0
"""What a start is taken for while nobody has seen one."""
_MOST_COLD_START_S = 900.0
"""Who took longer waited for a machine that nobody had."""
_LEAST_COLD_START_S = 1.0
_RATE_WITHIN_S = 20.0
_SERVED_WITHIN_S = 10.0
_NEWEST_START = 0.5
"""Of the newest start in the average of all."""


@dataclass(frozen=True, slots=True)
class Supply:
    """The replicas of one model. Times are those of the caller's clock, work is in cost units."""

    ready: int
    since: float
    """Since when there have been so many."""
    asked: tuple[float, ...] = ()
    """When each of those was asked for that are not ready yet, ascending."""
    rate: float | None = None
    """What one replica works off in a second; None until it has been seen."""
    served: float = 0.0
    """What all have worked off in a second of late."""
    cold_start_s: float | None = None
    """How long a start has taken of late."""

    def counted(self, now: float, ready: int, target: int) -> "Supply":
        """When so many are ready, of so many that were asked for."""
        new = max(0, ready - self.ready)
        cold_start_s = self.cold_start_s
        for asked_at in self.asked[:new]:
            took = min(now - asked_at, _MOST_COLD_START_S)
            average = took if cold_start_s is None else cold_start_s
            cold_start_s = average + _NEWEST_START * (took - average)
        starting = max(0, target - ready)
        asked = self.asked[new:][:starting]  # the last ones are given up first
        return replace(
            self,
            ready=ready,
            since=self.since if ready == self.ready else now,
            asked=asked + (now,) * (starting - len(asked)),
            cold_start_s=cold_start_s,
        )

    def worked(self, now: float, served: float, seconds: float, *, saturated: bool) -> "Supply":
        """When they have worked off so much a second, `saturated` if something waited all along."""
        average = smoothed(self.served, served, seconds, _SERVED_WITHIN_S)
        rate = self.rate
        if self.ready and served > 0 and now - self.since >= SETTLED_S:
            each = served / self.ready
            if saturated:
                rate = each if rate is None else smoothed(rate, each, seconds, _RATE_WITHIN_S)
            elif rate is not None:
                rate = max(rate, average / self.ready)
        return replace(self, served=average, rate=rate)

    def start_s(self, told_s: float | None = None) -> float:
        """How long one takes to start that is asked for now.

        `told_s`: how long replicas say that they took themselves, for want of anything better.
        """
        seen = COLD_START_S if told_s is None else told_s
        return max(_LEAST_COLD_START_S, self.cold_start_s or seen)

    def due(self, now: float, start_s: float) -> list[float]:
        """In how many seconds each will be ready that starts, ascending.

        One that is late is taken to need as long again as it is late.
        """
        return sorted(abs(asked_at + start_s - now) for asked_at in self.asked)

    def drained_s(self, work: float, due: Sequence[float]) -> float:
        """How long they need for so much work, those that start included."""
        if work <= 0:
            return 0.0
        if not self.rate:
            return 0.0 if self.ready else math.inf  # nothing is known yet of those that work
        for begins, ends, replicas in self._stretches(due):
            done = replicas * self.rate * (ends - begins) if replicas else 0.0
            if work <= done:
                return begins + work / (replicas * self.rate)
            work -= done
        return math.inf

    def done_in(self, seconds: float, due: Sequence[float]) -> float:
        """How much they work off in so many seconds, those that start included."""
        late = sum(max(0.0, seconds - at) for at in due)
        return (self.rate or 0.0) * (self.ready * seconds + late)

    def _stretches(self, due: Sequence[float]) -> Iterator[tuple[float, float, int]]:
        """From when to when how many work."""
        begins, replicas = 0.0, self.ready
        for at in due:
            yield begins, at, replicas
            begins, replicas = at, replicas + 1
        yield begins, math.inf, replicas
