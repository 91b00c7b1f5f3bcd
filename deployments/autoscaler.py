"""The autoscaling policy's memory and its surroundings, in Serve's controller.

Serve asks a policy for each deployment by itself, several times a second, and none of them sees
another's numbers. Here they meet: what the routers tell is put down when Serve asks for the
router's deployment, and taken when it asks for an engine's. (Serve has policies for applications,
too, but takes them from its own configuration files only: `serve.run` cannot hand one over.)

A module of its own, because Serve copies a policy's module into the controller by value, and makes
the policy anew whenever the application is deployed; this one is one for the controller's life.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from deployments.autoscaling_metrics import Decisions
from deployments.scheduling.autoscaling import decide
from deployments.scheduling.budget import Claim, share
from deployments.scheduling.scaling import Cause, Decision, Limits, State
from deployments.scheduling.terms import Level
from deployments.signals import Heard, Series, read

logger = logging.getLogger("ray.serve")

_GONE_S = 30.0
"""A deployment that Serve has not asked for so long is gone."""


class Context(Protocol):
    """What is asked of Serve's AutoscalingContext."""

    app_name: str
    deployment_name: str
    target_num_replicas: int
    running_replicas: list[Any]
    current_time: float

    @property
    def raw_metrics(self) -> Series | None: ...


@dataclass(frozen=True)
class Plan:
    """What the configuration says of one engine deployment."""

    limits: Limits
    gpus: float
    """Of each replica."""
    weight: float = 1.0
    gpu_budget: float | None = None
    """For all models that scale."""
    model: str = ""
    """What its model is called; the deployment's name is another."""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Plan":
        """From what can be JSON, as Serve wants it; `options` gives that."""
        limits = dict(options["limits"])
        by_name = limits.pop("target_wait_s")
        targets = {level: by_name[level.name.lower()] for level in Level}
        return cls(**{**options, "limits": Limits(**limits, target_wait_s=targets)})


@dataclass
class _Member:
    """One engine deployment."""

    state: State
    claim: Claim
    asked_at: float
    told: int
    """The last number that was logged."""
    complete: bool


class Telling(Protocol):
    """Who hears what is decided: deployments.autoscaling_metrics.Decisions."""

    def wants(self, model: str, replicas: int) -> None: ...
    def changed(self, model: str, by: int, cause: Cause) -> None: ...


@dataclass
class Autoscaler:
    """Of one application."""

    telling: Telling
    _routers: Heard | None = None
    _members: dict[str, _Member] = field(default_factory=dict)

    def hear(self, context: Context) -> None:
        """Take in what the routers tell."""
        self._routers = _heard(context)

    def decide(self, context: Context, plan: Plan) -> Decision:
        """How many replicas an engine deployment should have."""
        name, now = context.deployment_name, context.current_time
        seen = read(name, context.target_num_replicas, _heard(context), self._routers, now)
        member = self._members.get(name)
        state, decision = decide(plan.limits, None if member is None else member.state, seen, now)
        claim = Claim(decision.replicas, plan.gpus, plan.limits.min_replicas, plan.weight)
        told = context.target_num_replicas if member is None else member.told
        if member is not None and member.complete and not seen.complete:
            logger.warning("%s: not every router is heard, so it does not shrink", name)
        self._members[name] = member = _Member(state, claim, now, told, seen.complete)
        decision = self._shared(name, decision, plan, now)
        self.telling.wants(plan.model, decision.replicas)
        if decision.replicas != member.told:
            logger.info("%s: %d replicas, %s", name, decision.replicas, decision)
            self.telling.changed(plan.model, decision.replicas - member.told, decision.cause)
            member.told = decision.replicas
        return decision

    def _shared(self, name: str, decision: Decision, plan: Plan, now: float) -> Decision:
        """What is left of it beside what others want."""
        for other, member in list(self._members.items()):
            if now - member.asked_at > _GONE_S:
                del self._members[other]
        claims = {other: member.claim for other, member in self._members.items()}
        budget = math.inf if plan.gpu_budget is None else plan.gpu_budget
        granted = share(claims, budget)[name]
        if granted == decision.replicas:
            return decision
        figures = f"{decision.replicas} are wanted, {budget:g} GPUs are for all"
        return Decision(granted, Cause.BUDGET, figures)


def _heard(context: Context) -> Heard:
    return Heard(list(context.running_replicas), context.raw_metrics or {})


_autoscalers: dict[str, Autoscaler] = {}


def of(application: str) -> Autoscaler:
    """The autoscaler of an application."""
    if application not in _autoscalers:
        _autoscalers[application] = Autoscaler(Decisions(application))
    return _autoscalers[application]
