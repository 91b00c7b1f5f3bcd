"""Models on a cluster that the policy makes larger and smaller, under a clock that the test moves.

A replica takes so long to start and then works off so many cost units a second, the most urgent
class first. What the policy is shown is what Serve's controller would see: counters over a short
window. Requests are small beside a second's work, so work flows.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from deployments.scheduling.autoscaling import decide
from deployments.scheduling.budget import Claim, share
from deployments.scheduling.scaling import Cause, Decision, Limits, Observation, State
from deployments.scheduling.terms import Level

PERIOD_S = 0.4
"""How often the controller decides."""
WINDOW = 7
"""Of so many periods it sees what has come and what was done."""

Load = Callable[[float], float | Mapping[Level, float]]
"""What arrives each second, by the time; a plain number is of class standard."""


@dataclass
class Look:
    """One period of a model."""

    at: float
    queued: float
    ready: int
    starting: int
    target: int
    wait_s: float
    """How long what waits needs with those that are ready."""
    decision: Decision


@dataclass
class Model:
    """A model, its load and its replicas."""

    load: Load
    limits: Limits = field(default_factory=lambda: Limits(1, 8))
    rate: float = 100.0
    """What a replica works off in a second."""
    start_s: float = 20.0
    gpus: float = 1.0
    weight: float = 1.0
    heard: bool = True
    """Whether the policy sees what the routers know."""
    state: State | None = None
    ready: int = 0
    target: int = 0
    starts: list[float] = field(default_factory=list)
    """When those that start will be ready, ascending."""
    queued: dict[Level, float] = field(default_factory=lambda: dict.fromkeys(Level, 0.0))
    looks: list[Look] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._window: deque[tuple[Mapping[Level, float], float, bool]] = deque(maxlen=WINDOW)
        self._busy = 0.0

    def pass_time(self, now: float) -> None:
        """What comes and what is done within a period."""
        while self.starts and self.starts[0] <= now:
            self.starts.pop(0)
            self.ready += 1
        load = self.load(now)
        came = {Level.STANDARD: load} if isinstance(load, float | int) else dict(load)
        capacity = self.ready * self.rate * PERIOD_S
        left = capacity
        for level in Level:
            self.queued[level] += came.get(level, 0.0) * PERIOD_S
            done = min(left, self.queued[level])
            self.queued[level] -= done
            left -= done
        served = capacity - left
        self._busy = self.ready * served / capacity if capacity else 0.0
        waiting = any(self.queued.values())
        self._window.append((came, served / PERIOD_S, waiting))

    def observe(self) -> Observation:
        """What the policy sees."""
        window = list(self._window)
        return Observation(
            ready=self.ready,
            target=self.target,
            queued=dict(self.queued) if self.heard else {},
            arriving={
                level: sum(came.get(level, 0.0) for came, _, _ in window) / len(window)
                for level in Level
            }
            if self.heard
            else {},
            served=sum(served for _, served, _ in window) / len(window),
            saturated=all(waiting for _, _, waiting in window),
            busy=self._busy,
            complete=self.heard,
        )

    def set_target(self, target: int, now: float) -> None:
        """What Serve does: those that start go first."""
        self.target = target
        while self.ready + len(self.starts) < target:
            self.starts.append(now + self.start_s)
        while self.ready + len(self.starts) > target:
            if self.starts:
                self.starts.pop()
            else:
                self.ready -= 1

    @property
    def wait_s(self) -> float:
        """How long all that waits needs, with those that are ready."""
        work = sum(self.queued.values())
        if not work:
            return 0.0
        return work / (self.ready * self.rate) if self.ready else math.inf


class Cluster:
    """Models that share GPUs, and the controller that asks the policy."""

    def __init__(self, *models: Model, budget: float = math.inf) -> None:
        self.models = models
        self.budget = budget
        self.now = 1000.0

    def run(self, seconds: float) -> "Cluster":
        """Time goes on."""
        for _ in range(round(seconds / PERIOD_S)):
            self.now += PERIOD_S
            decisions = {}
            for name, model in enumerate(self.models):
                model.pass_time(self.now)
                seen = model.observe()
                model.state, decisions[name] = decide(model.limits, model.state, seen, self.now)
            claims = {
                str(name): Claim(
                    decision.replicas,
                    self.models[name].gpus,
                    self.models[name].limits.min_replicas,
                    self.models[name].weight,
                )
                for name, decision in decisions.items()
            }
            granted = share(claims, self.budget)
            for name, model in enumerate(self.models):
                decision = decisions[name]
                if granted[str(name)] != decision.replicas:
                    decision = Decision(granted[str(name)], Cause.BUDGET)
                self._carry_out(model, decision)
        return self

    def _carry_out(self, model: Model, decision: Decision) -> None:
        model.set_target(decision.replicas, self.now)
        model.looks.append(
            Look(
                self.now,
                sum(model.queued.values()),
                model.ready,
                len(model.starts),
                model.target,
                model.wait_s,
                decision,
            )
        )


def targets(model: Model, *, after: float = 0.0) -> list[int]:
    """The numbers that were asked for, each change once."""
    changes: list[int] = []
    for look in model.looks:
        if look.at >= after and changes[-1:] != [look.target]:
            changes.append(look.target)
    return changes


def turns(model: Model, *, after: float = 0.0) -> int:
    """How often the number went the other way than before."""
    asked = targets(model, after=after)
    steps = [b > a for a, b in pairwise(asked)]
    return sum(a != b for a, b in pairwise(steps))
