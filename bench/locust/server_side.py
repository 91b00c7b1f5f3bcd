"""What the server says of the same load, from two looks at its metrics. Pure.

The names are vLLM's own, so any server that has them will do. The parts are Sluice's, and so is the
label that tells streamed answers from those that are given whole, of whose tokens clients see
nothing before the end.
"""

import csv
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

from prometheus_client.parser import text_string_to_metric_families

from bench.locust.names import ITL, TTFT

_WHOLE = {TTFT: "vllm:time_to_first_token_seconds", ITL: "vllm:inter_token_latency_seconds"}
_PARTS = {
    TTFT: {
        "framework": "sluice_framework_seconds",
        "queue": "sluice_queue_seconds",
        "engine": "sluice_engine_seconds",
    },
    ITL: {
        "engine": "sluice_inter_token_engine_seconds",
        "framework": "sluice_inter_token_framework_seconds",
    },
}
_HEAD = ["", "observed", "mean", "p50", "p95", "p99"]
_PERCENTILES = 50, 95, 99

Buckets = Mapping[float, float]
"""How many observations were at or below each bound."""


class Entry(Protocol):
    """What Locust has kept of one kind of user; milliseconds."""

    @property
    def num_requests(self) -> int: ...
    @property
    def total_response_time(self) -> float: ...
    @property
    def response_times(self) -> Mapping[Any, int]:
        """How often each, rounded."""


Entries = Mapping[tuple[str, str], Entry]
"""By name and type."""


@dataclass(frozen=True)
class Histogram:
    """Of all replicas and classes."""

    buckets: Buckets = field(default_factory=dict)
    sum: float = 0.0

    def __sub__(self, earlier: "Histogram") -> "Histogram":
        buckets = {
            bound: count - earlier.buckets.get(bound, 0) for bound, count in self.buckets.items()
        }
        return Histogram(buckets, self.sum - earlier.sum)

    @property
    def count(self) -> float:
        return self.buckets.get(math.inf, 0)

    def percentile(self, percent: float) -> float:
        """As Prometheus has it: evenly spread between two bounds."""
        rank = self.count * percent / 100
        lower = below = 0.0
        for bound, count in sorted(self.buckets.items()):
            if count >= rank and count > below:
                if math.isinf(bound):
                    return lower  # it is above all bounds, and who knows how far
                return lower + (bound - lower) * (rank - below) / (count - below)
            lower, below = bound, count
        return lower


@dataclass
class ServerSide:
    """What the server measures while a test runs."""

    read: Callable[[], str]
    """What it answers to a scrape."""
    model: str
    _before: Mapping[str, Histogram] = field(default_factory=dict, init=False)

    def begin(self) -> None:
        """What it measures from now on is the test's."""
        self._before = histograms(self.read(), self.model)

    def rows(self, kept: Entries) -> list[list[str]]:
        """A heading, and rows of what clients saw and of what the server says; milliseconds."""
        after, nothing = histograms(self.read(), self.model), Histogram()
        rows = [_HEAD]
        for kind, metric in _WHOLE.items():
            if metric not in after:
                continue
            rows.append(_row(f"{kind} seen by clients", _of_clients(kind, kept, after[metric])))
            for name, part in {"by the server": metric, **_PARTS[kind]}.items():
                if part in after:
                    grown = after[part] - self._before.get(part, nothing)
                    rows.append(_row(f"{kind} {name}", grown))
        return rows


def write(rows: Sequence[Sequence[str]], path: Path) -> None:
    """As CSV."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def histograms(exposition: str, model: str) -> dict[str, Histogram]:
    """By name, of streamed answers where the server tells them apart.

    Of `model` where it tells of it, else of all: adapters count as models.
    """
    families = {each.name: each for each in text_string_to_metric_families(exposition)}
    told_of = {
        value for each in families.values() for s in each.samples for value in s.labels.values()
    }
    wanted = [*_WHOLE.values(), *(name for parts in _PARTS.values() for name in parts.values())]
    found = {}
    for name in wanted:
        if name not in families:
            continue
        samples = families[name].samples
        if model in told_of:
            samples = [each for each in samples if model in each.labels.values()]
        streamed = [each for each in samples if each.labels.get("stream") != "false"]
        buckets: Counter[float] = Counter()
        total = 0.0
        for sample in streamed:
            if sample.name.endswith("_bucket"):
                buckets[float(sample.labels["le"])] += sample.value  # type: ignore[assignment]
            elif sample.name.endswith("_sum"):
                total += sample.value
        found[name] = Histogram(buckets, total)
    return found


def _of_clients(kind: str, kept: Entries, theirs: Histogram) -> Histogram:
    """In the server's buckets: then they differ in what was measured, not in how it was kept."""
    entries = [entry for (_, method), entry in kept.items() if method == kind]
    times: Counter[float] = Counter()
    for entry in entries:
        times.update({milliseconds / 1e3: n for milliseconds, n in entry.response_times.items()})
    bounds = sorted(theirs.buckets)
    counts = [0] * len(bounds)
    for seconds, count in times.items():
        counts[bisect_left(bounds, seconds)] += count
    total = sum(entry.total_response_time for entry in entries) / 1e3
    return Histogram(dict(zip(bounds, accumulate(counts), strict=True)), total)


def _row(name: str, histogram: Histogram) -> list[str]:
    count = histogram.count
    if not count:
        return [name, "0", "-", "-", "-", "-"]
    seconds = [histogram.sum / count, *map(histogram.percentile, _PERCENTILES)]
    return [name, f"{count:.0f}", *(f"{float(f'{1e3 * each:.3g}'):g}" for each in seconds)]
