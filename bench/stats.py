"""The few figures that a benchmark needs of many numbers."""

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value below which `percent` of `ordered` (ascending) lies, interpolated; NaN of none."""
    if not ordered:
        return math.nan
    rank = (len(ordered) - 1) * percent / 100
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


@dataclass(frozen=True)
class Percentiles:
    """NaN stands for "there was nothing to measure"."""

    p50: float
    p99: float

    @classmethod
    def of(cls, values: Iterable[float], scale: float = 1.0) -> "Percentiles":
        ordered = sorted(values)
        return cls(percentile(ordered, 50) * scale, percentile(ordered, 99) * scale)


@dataclass(frozen=True)
class Spread:
    """One figure over the rounds: its median and its extremes."""

    median: float
    low: float
    high: float
    rounds: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread | None":
        """Of the values that are there (finite); None of none."""
        rounds = tuple(value for value in values if math.isfinite(value))
        if not rounds:
            return None
        return cls(statistics.median(rounds), min(rounds), max(rounds), rounds)


def ratio(pairs: Iterable[tuple[float, float]]) -> Spread | None:
    """The ratio of `(value, baseline)` pairs; None when no pair has one."""
    return Spread.of(value / baseline for value, baseline in pairs if baseline != 0)


def difference(pairs: Iterable[tuple[float, float]]) -> Spread | None:
    """How much the value of `(value, baseline)` pairs is above; None when no pair has both."""
    return Spread.of(value - baseline for value, baseline in pairs)


def median(values: Iterable[float]) -> float:
    """The median of the values that are there (not NaN); NaN of none."""
    there = [value for value in values if not math.isnan(value)]
    return statistics.median(there) if there else math.nan


def to_json(value: Any) -> str:
    """One line of JSON, with null for NaN, which JSON does not have."""
    return json.dumps(_without_nan(value), allow_nan=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
