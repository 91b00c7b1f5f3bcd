"""What router and engine replicas tell the autoscaling policy, and how it reads that.

Serve asks each replica for a few numbers now and then (`record_autoscaling_stats`), and shows the
policy, in its controller, the numbers of the last seconds with their times. Routers count what has
come and what was worked off since they began, so that a report that is lost loses nothing; an
engine tells how full it is. Work is in cost units (see `ticket.work`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from deployments.messages import Load
from deployments.scheduling.scaling import Observation
from deployments.scheduling.terms import Level

ROUTER_EVERY_S = 0.25
"""How often a router tells."""
ROUTER_WINDOW_S = 2.5
"""For so long what it told is kept; it must not be longer than `supply.SETTLED_S`."""
ENGINE_EVERY_S = 1.0
ENGINE_WINDOW_S = 6.0
_STALE_S = 30.0
"""Whoever has told nothing for so long is not heard; machines' clocks may differ by seconds."""


class Queueing(Protocol):
    """What is asked of a model's engine pool."""

    @property
    def arrived(self) -> Mapping[Level, float]:
        """Work that has been asked for since it began."""

    @property
    def worked(self) -> float:
        """Work that its engines have done since then."""

    @property
    def queued(self) -> Mapping[Level, float]:
        """Work that waits."""


class Sample(Protocol):
    """One number at one time."""

    @property
    def timestamp(self) -> float: ...
    @property
    def value(self) -> float: ...


Series = Mapping[str, Mapping[object, Sequence[Sample]]]
"""By what it tells and by replica, as Serve gives it."""


def of_router(queues: Mapping[str, Queueing]) -> dict[str, float]:
    """What a router tells, given the queue of each engine deployment."""
    told = {}
    for deployment, queue in queues.items():
        told[f"{deployment}/worked"] = queue.worked
        for level, cost in queue.queued.items():
            told[f"{deployment}/queued/{level.name}"] = cost
            told[f"{deployment}/arrived/{level.name}"] = queue.arrived[level]
    return told


def of_engine(load: Load, max_num_seqs: int, start_s: float) -> dict[str, float]:
    """What an engine replica tells."""
    slots = (load.running + load.waiting) / max_num_seqs
    return {"busy": min(1.0, max(slots, load.kv_cache_usage)), "start_s": start_s}


@dataclass(frozen=True)
class Heard:
    """What the replicas of one deployment have told of late."""

    replicas: Sequence[object]
    series: Series

    def of(self, name: str, now: float) -> list[Sequence[Sample]]:
        """What each has told under a name, if it is heard; samples go from old to new."""
        told = self.series.get(name, {})
        return [
            samples
            for replica in self.replicas
            if (samples := told.get(replica)) and now - samples[-1].timestamp < _STALE_S
        ]


def read(
    deployment: str, target: int, engines: Heard, routers: Heard | None, now: float
) -> Observation:
    """What is seen of one model."""
    busy = [samples[-1].value for samples in engines.of("busy", now)]
    silent = len(engines.replicas) - len(busy)
    starts = [samples[-1].value for samples in engines.of("start_s", now)]
    routers = routers or Heard((), {})
    queued = {level: routers.of(f"{deployment}/queued/{level.name}", now) for level in Level}
    heard = min(map(len, queued.values()))
    return Observation(
        ready=len(engines.replicas),
        target=target,
        queued={level: sum(_last(told)) for level, told in queued.items()},
        arriving={
            level: _rate(routers.of(f"{deployment}/arrived/{level.name}", now)) for level in Level
        },
        served=_rate(routers.of(f"{deployment}/worked", now)),
        saturated=_always(queued.values()),
        busy=sum(busy) + silent,  # one that does not tell may be full
        complete=0 < len(routers.replicas) == heard,
        start_s=max(starts, default=None),
    )


def _last(told: Iterable[Sequence[Sample]]) -> list[float]:
    return [samples[-1].value for samples in told]


def _rate(counters: Iterable[Sequence[Sample]]) -> float:
    """By how much counters have grown each second, all together."""
    rate = 0.0
    for samples in counters:
        first, last = samples[0], samples[-1]
        seconds = last.timestamp - first.timestamp
        if seconds > 0:
            rate += max(0.0, last.value - first.value) / seconds
    return rate


def _always(queues: Iterable[Iterable[Sequence[Sample]]]) -> bool:
    """Whether something has waited with one router all along, of whatever class."""
    by_router: dict[int, list[float]] = {}
    for told in queues:
        for router, samples in enumerate(told):
            values = [sample.value for sample in samples]
            sums = by_router.setdefault(router, [0.0] * len(values))
            by_router[router] = [a + b for a, b in zip(sums, values, strict=False)]
    return any(len(sums) > 1 and all(sums) for sums in by_router.values())
