"""What is told of a metric: plain values, which cross from one router replica to another."""

from dataclasses import dataclass, field

from deployments.metering.families import Family
from deployments.metering.histogram import Histogram


@dataclass(frozen=True)
class Sample:
    """One series as of now."""

    family: Family
    value: float | Histogram
    labels: tuple[str, ...] = ()
    """The values of the family's labels, but for the replica's."""


@dataclass(frozen=True)
class Snapshot:
    """All that a router replica tells of itself."""

    replica: str
    samples: list[Sample] = field(default_factory=list)
