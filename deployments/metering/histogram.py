"""Counting by size at the price of an addition. Pure."""

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """How many observations fell at or below each bound and above the one before it.

    It has no lock and looks up no label: a router observes a token with it, on its one event loop.
    """

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` ascend; what is above the last of them is counted, too."""
        self._bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, that many times."""
        self.counts[bisect_left(self._bounds, value)] += times
        self.sum += times * value


def steps(mantissas: Sequence[float], first: int, last: int) -> tuple[float, ...]:
    """Bounds from 10**first to 10**last, in each decade those that `mantissas` name from 1 on."""
    decades = range(first, last)
    bounds = (float(f"{mantissa}e{decade}") for decade in decades for mantissa in mantissas)
    return *bounds, float(f"1e{last}")
