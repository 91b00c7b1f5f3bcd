"""What the autoscaling policy is told, what it remembers, and what it says. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from deployments.scheduling.demand import Demand
from deployments.scheduling.supply import Supply
from deployments.scheduling.terms import Level

TARGET_WAIT_S: Mapping[Level, float] = MappingProxyType(
    {Level.INTERACTIVE: 2.0, Level.STANDARD: 5.0, Level.BATCH: 60.0}
)


@dataclass(frozen=True)
class Limits:
    """What the configuration says of one model."""

    min_replicas: int = 1
    max_replicas: int = 1
    target_wait_s: Mapping[Level, float] = field(default_factory=lambda: TARGET_WAIT_S)
    """How long requests of each class may wait for an engine before there should be more."""
    hold_s: float = 120.0
    """For so long some must have been spare before they go."""
    idle_timeout_s: float = 300.0
    """For so long nothing must have been asked before the last one goes, if it may."""

    def bounded(self, replicas: int) -> int:
        """The nearest number that is allowed."""
        return max(self.min_replicas, min(self.max_replicas, replicas))


@dataclass(frozen=True)
class Observation:
    """What is seen of one model now. Work is in cost units (see `ticket.work`)."""

    ready: int
    """Replicas that work."""
    target: int
    """Replicas that there should be by the last decision that was carried out."""
    queued: Mapping[Level, float]
    """What waits before the engines."""
    arriving: Mapping[Level, float]
    """What has arrived each second of late."""
    served: float
    """What the engines have worked off each second of late."""
    saturated: bool
    """Whether something has waited all that time."""
    busy: float
    """How many replicas' slots or cache, whichever is fuller, are taken by what runs."""
    complete: bool = True
    """Whether all who should tell of it are heard."""
    start_s: float | None = None
    """How long replicas say that they took to start."""

    @property
    def quiet(self) -> bool:
        """Whether nobody asks for anything."""
        return not (any(self.queued.values()) or any(self.arriving.values()) or self.busy)


@dataclass(frozen=True)
class State:
    """What has been learnt of one model, and what was decided last. Times are the caller's."""

    at: float
    wanted: int
    """As many as there should be by this model alone, whatever others were given."""
    supply: Supply
    demand: Mapping[Level, Demand]
    busy: float
    """The moving average."""
    spare_since: float | None = None
    """Since when fewer would do."""
    peak: int = 0
    """The most that were needed since then."""
    quiet_since: float | None = None


class Cause(StrEnum):
    """Why there should be as many."""

    START = "start"
    """Nothing was known of the model before: one at least shows that it can be served."""
    STEADY = "steady"
    BOUNDS = "bounds"
    """The configuration has changed."""
    WAKE = "wake"
    """Something waits, and there are none."""
    QUEUE = "queue"
    """A class would wait for longer than its target."""
    ARRIVALS = "arrivals"
    """It is going to."""
    SPARE = "spare"
    """Fewer have done for long enough."""
    IDLE = "idle"
    """Nothing was asked for long enough."""
    BUDGET = "budget"
    """Other models need the GPUs."""


class Decision(NamedTuple):
    """How many, and why."""

    replicas: int
    cause: Cause
    figures: str = ""

    def __str__(self) -> str:
        return f"{self.cause}: {self.figures}" if self.figures else str(self.cause)
