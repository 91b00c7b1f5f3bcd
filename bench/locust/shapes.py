"""How a load changes while it lasts: the share of its peak, from 0 to 1, at each second. Pure."""

import math
from collections.abc import Callable, Mapping

Level = Callable[[float], float]

CONSTANT = "constant"
_STEPS = 5
_SPIKE = (0.4, 0.6)  # of the time


def constant(seconds: float, low: float) -> Level:
    """The peak, always."""
    return lambda at: 1.0


def step(seconds: float, low: float) -> Level:
    """From `low` up to the peak in five equal steps."""

    def level(at: float) -> float:
        number = min(int(at / seconds * _STEPS), _STEPS - 1)
        return low + (1 - low) * number / (_STEPS - 1)

    return level


def spike(seconds: float, low: float) -> Level:
    """`low`, and the peak for the middle fifth of the time."""
    first, last = (share * seconds for share in _SPIKE)
    return lambda at: 1.0 if first <= at < last else low


def diurnal(seconds: float, low: float) -> Level:
    """One day in the whole time: `low` at both ends, the peak at noon."""
    return lambda at: low + (1 - low) * (1 - math.cos(2 * math.pi * at / seconds)) / 2


SHAPES: Mapping[str, Callable[[float, float], Level]] = {
    CONSTANT: constant,
    "step": step,
    "spike": spike,
    "diurnal": diurnal,
}
"""By name; each is given how long the load lasts and its lowest level."""
