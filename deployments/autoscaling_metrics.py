"""What the autoscaler decides, as metrics on Ray's own endpoint.

Decisions are made in Serve's controller, which no router asks for anything; Ray collects from every
process.
"""

from functools import cache

from ray.util.metrics import Counter, Gauge

from deployments.metering.families import Family
from deployments.scheduling.scaling import Cause

DECISIONS = Family(
    "sluice_autoscaling_decisions_total",
    "counter",
    ("application", "model", "direction", "reason"),
    "How often the autoscaler has asked for more replicas (up) or fewer (down), and why.",
)
WANTED = Family(
    "sluice_autoscaling_wanted_replicas",
    "gauge",
    ("application", "model"),
    "Engine replicas that there should be by its last decision.",
)


class Decisions:
    """Of one application."""

    def __init__(self, application: str) -> None:
        self._application = application

    def wants(self, model: str, replicas: int) -> None:
        """So many there should be."""
        _wanted().set(replicas, {"application": self._application, "model": model})

    def changed(self, model: str, by: int, cause: Cause) -> None:
        """That is so many more than before, or fewer."""
        tags = {
            "application": self._application,
            "model": model,
            "direction": "up" if by > 0 else "down",
            "reason": cause.value,
        }
        _decisions().inc(1, tags)


@cache  # one for each process, however many applications it decides for
def _decisions() -> Counter:
    return Counter(DECISIONS.name, DECISIONS.help, DECISIONS.labels)


@cache
def _wanted() -> Gauge:
    return Gauge(WANTED.name, WANTED.help, WANTED.labels)
