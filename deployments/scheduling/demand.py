"""How much work arrives, and how much is going to. Pure: the caller brings the clock."""

import math
from dataclasses import dataclass

FAST_S, SLOW_S = 15.0, 45.0
"""The two moving averages forget within so many seconds."""
MOST_GROWTH = 1.25
"""A trend is believed up to this many times what arrives: a step looks like a steep one."""


def smoothed(average: float, observed: float, seconds: float, within_s: float) -> float:
    """A moving average, after `observed` has held for so many seconds."""
    return observed + (average - observed) * math.exp(-seconds / within_s)


@dataclass(frozen=True, slots=True)
class Demand:
    """Work that arrives, in cost units a second (see `ticket.work`), as two moving averages.

    On a straight line each of them lags by the time within which it forgets, so that their
    difference tells the slope.
    """

    fast: float
    slow: float

    def after(self, rate: float, seconds: float) -> "Demand":
        """When so much has arrived each second for so many seconds."""
        return Demand(
            smoothed(self.fast, rate, seconds, FAST_S), smoothed(self.slow, rate, seconds, SLOW_S)
        )

    def ahead(self, seconds: float) -> float:
        """What will arrive then, should it go on growing as of late; what falls may come back."""
        slope = max(0.0, self.fast - self.slow) / (SLOW_S - FAST_S)
        return min(self.fast + slope * (FAST_S + seconds), MOST_GROWTH * self.fast)

    @property
    def high(self) -> float:
        """What has to be reckoned with, by the higher of the two."""
        return max(self.fast, self.slow)
