"""What a router replica tells, on Ray's own endpoint: for those who scrape Ray's nodes only.

Ray wants increments and takes observations one by one, so of a histogram go its sum and its count,
as counters; and all goes every few seconds, not with each token.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Protocol

from deployments.metering.families import REPLICA, Family
from deployments.metering.histogram import Histogram
from deployments.metering.sample import Sample, Snapshot

logger = logging.getLogger("ray.serve")

EVERY_S = 5.0
"""Ray passes on what it has every 10 s."""
_PRIVATE = "tenant"
"""Nobody needs a key to Ray's endpoint, and who the tenants are is not for everybody."""


class Counter(Protocol):
    def inc(self, value: float, tags: dict[str, str]) -> None: ...


class Gauge(Protocol):
    def set(self, value: float, tags: dict[str, str]) -> None: ...


class Registry(Protocol):
    """Makes Ray's metrics; deployments.metering.ray_registry has the real one."""

    def counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter: ...
    def gauge(self, name: str, text: str, labels: tuple[str, ...]) -> Gauge: ...


Series = tuple[str, tuple[str, ...]]
"""A metric's name, and the values of its labels."""


class RayExport:
    """Tells Ray by how much counters have grown, and how gauges stand."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._told: dict[Series, float] = {}
        """Of counters, what Ray knows."""

    def publish(self, snapshots: Iterable[Snapshot]) -> None:
        """Take in what a router replica tells of itself, and of the engines as it hears them.

        A gauge that is not told of any more, of an engine that is gone, Ray drops by itself.
        """
        for snapshot in snapshots:
            for sample in snapshot.samples:
                if _PRIVATE not in sample.family.labels:
                    self._publish(sample, _tags(sample, snapshot.replica))

    def _publish(self, sample: Sample, tags: dict[str, str]) -> None:
        family, name = sample.family, spelled(sample.family.name)
        for part, value in _parts(name, sample.value):
            if family.kind == "gauge":
                self._gauge(family, part, tags).set(value, tags)
                continue
            grown = value - self._told.get((part, sample.labels), 0)
            if grown > 0:
                self._counter(family, part, tags).inc(grown, tags)
                self._told[part, sample.labels] = value

    def _counter(self, family: Family, name: str, tags: Mapping[str, str]) -> Counter:
        if name not in self._counters:
            self._counters[name] = self._registry.counter(name, family.help, tuple(tags))
        return self._counters[name]

    def _gauge(self, family: Family, name: str, tags: Mapping[str, str]) -> Gauge:
        if name not in self._gauges:
            self._gauges[name] = self._registry.gauge(name, family.help, tuple(tags))
        return self._gauges[name]


class Publishing:
    """Does that every few seconds, in a thread, until it is closed."""

    def __init__(self, export: RayExport, read: Callable[[], list[Snapshot]]) -> None:
        """`read` is called on the running loop."""
        self._export = export
        self._read = read
        self._task = asyncio.get_running_loop().create_task(self._publish())

    async def _publish(self) -> None:
        try:
            while True:
                await asyncio.to_thread(self._export.publish, self._read())
                await asyncio.sleep(EVERY_S)
        except Exception:  # GET /metrics has it all the same
            logger.exception("Ray's metrics endpoint gets nothing more from this router")

    async def close(self) -> None:
        """Publish no more."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


def spelled(name: str) -> str:
    """As Ray allows it, and as vLLM's own metrics on Ray are called."""
    return name.replace(":", "_")


def _parts(name: str, value: float | Histogram) -> Iterator[tuple[str, float]]:
    if isinstance(value, Histogram):
        yield f"{name}_sum", value.sum
        yield f"{name}_count", sum(value.counts)
    else:
        yield name, float(value)


def _tags(sample: Sample, replica: str) -> dict[str, str]:
    names = [label for label in sample.family.labels if label != REPLICA]
    return {REPLICA: replica, **dict(zip(names, sample.labels, strict=True))}
