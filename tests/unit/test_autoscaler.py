"""What Serve's controller gets from the autoscaling policy, asked deployment by deployment."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from deployments import autoscaler
from deployments.autoscaler import Autoscaler, Plan
from deployments.autoscaling_policy import EnginePolicy, RouterPolicy
from deployments.scheduling.scaling import Cause, Limits
from deployments.scheduling.terms import Level
from deployments.signals import of_router
from tests.unit.test_signals import At, Queues

LIMITS = Limits(min_replicas=0, max_replicas=8)
OPTIONS = {
    "limits": {
        "min_replicas": 0,
        "max_replicas": 8,
        "target_wait_s": {"interactive": 1.0, "standard": 3.0, "batch": 9.0},
        "hold_s": 60.0,
        "idle_timeout_s": 300.0,
    },
    "gpus": 1.0,
    "weight": 2.0,
    "gpu_budget": 8.0,
    "model": "small",
}


@dataclass
class Context:
    """Serve's, as far as the policy looks at it."""

    deployment_name: str
    target_num_replicas: int = 1
    running_replicas: list[Any] = field(default_factory=list)
    raw_metrics: Any = None
    app_name: str = "app"
    current_time: float = 1000.0


def routers(at: float = 1000.0, **queued: float) -> Context:
    """One router, before whose engines so much waits."""
    told: dict[str, dict[int, list[At]]] = {}
    for name, cost in queued.items():
        nothing = dict.fromkeys(Level, 0.0)
        queues = Queues({**nothing, Level.STANDARD: cost}, nothing, 0.0)
        told |= {key: {0: [At(at, value)]} for key, value in of_router({name: queues}).items()}
    return Context("router", 1, [0], told, current_time=at)


def engines(name: str, target: int, at: float = 1000.0) -> Context:
    return Context(name, target, [f"{name}-{i}" for i in range(target)], {}, current_time=at)


def plan(budget: float | None = None, weight: float = 1.0) -> Plan:
    return Plan(LIMITS, 1.0, weight, budget, "small")


class Told:
    """What is told of decisions, in its order."""

    def __init__(self) -> None:
        self.wanted: list[tuple[str, int]] = []
        self.changes: list[tuple[str, int, Cause]] = []

    def wants(self, model: str, replicas: int) -> None:
        self.wanted.append((model, replicas))

    def changed(self, model: str, by: int, cause: Cause) -> None:
        self.changes.append((model, by, cause))


@pytest.fixture(autouse=True)
def no_memory() -> Iterator[None]:
    yield
    autoscaler._autoscalers.clear()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def scaler(told: Told) -> Autoscaler:
    return Autoscaler(told)


class TestAPlan:
    def test_comes_as_what_serve_can_keep(self) -> None:
        made = Plan.of(OPTIONS)
        assert made.limits.target_wait_s == {
            Level.INTERACTIVE: 1,
            Level.STANDARD: 3,
            Level.BATCH: 9,
        }
        assert (made.limits.max_replicas, made.gpus, made.weight, made.gpu_budget) == (8, 1, 2, 8)


class TestADecision:
    def test_goes_by_what_the_routers_tell(self, scaler: Autoscaler) -> None:
        scaler.hear(routers(a=0))
        scaler.decide(engines("a", 0), plan())
        scaler.hear(routers(1001, a=50))
        decision = scaler.decide(engines("a", 0, 1001), plan())
        assert decision.replicas == 1

    def test_stays_while_no_router_is_heard(self, scaler: Autoscaler) -> None:
        for second in range(1000):
            decision = scaler.decide(engines("a", 3, 1000.0 + second), plan())
        assert decision.replicas == 3

    def test_is_told_once_for_each_change(
        self, scaler: Autoscaler, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, logger="ray.serve")
        for second in range(5):
            scaler.decide(engines("a", 0, 1000.0 + second), plan())
        assert [record.message for record in caplog.records] == ["a: 1 replicas, start"]

    def test_is_a_metric_with_its_direction_and_its_reason(
        self, scaler: Autoscaler, told: Told
    ) -> None:
        for second in range(3):
            scaler.decide(engines("a", 0, 1000.0 + second), plan())
        assert told.changes == [("small", 1, Cause.START)]
        assert told.wanted == [("small", 1)] * 3

    def test_for_fewer_is_one_downwards(self, scaler: Autoscaler, told: Told) -> None:
        for _ in range(2):
            scaler.decide(engines("a", 6), plan(6))
            scaler.decide(engines("b", 6), plan(6))
        assert told.changes == [("small", -3, Cause.BUDGET)] * 2
        assert told.wanted[-1] == ("small", 3)


class TestABudget:
    def test_is_shared_by_all_deployments_of_the_application(self, scaler: Autoscaler) -> None:
        for _ in range(2):
            first = scaler.decide(engines("a", 6), plan(6))
            second = scaler.decide(engines("b", 6), plan(6))
        assert (first.replicas, second.replicas) == (3, 3)
        assert first.cause == second.cause == Cause.BUDGET

    def test_is_not_shared_with_one_that_is_gone(self, scaler: Autoscaler) -> None:
        scaler.decide(engines("b", 6), plan(6))
        assert scaler.decide(engines("a", 6), plan(6)).replicas == 3
        assert scaler.decide(engines("a", 6, at=1100.0), plan(6)).replicas == 6

    def test_of_one_application_is_not_anothers(self) -> None:
        assert autoscaler.of("one") is autoscaler.of("one")
        assert autoscaler.of("one") is not autoscaler.of("other")


class TestServesSeam:
    def test_leaves_the_number_of_routers_as_it_is(self) -> None:
        assert RouterPolicy()(routers()) == (1, {})

    def test_asks_for_what_the_autoscaler_decides(self) -> None:
        RouterPolicy()(routers(a=0))
        assert EnginePolicy(**OPTIONS)(engines("a", 0)) == (1, {})

    def test_remembers_across_deployments_of_the_application(self) -> None:
        EnginePolicy(**OPTIONS)(engines("a", 5))
        assert EnginePolicy(**OPTIONS)(engines("a", 1, 1001.0)) == (5, {})

    def test_keeps_to_itself_what_goes_wrong(self, caplog: pytest.LogCaptureFixture) -> None:
        broken = Context("a", 3, running_replicas=[0], raw_metrics={"busy": {0: "?"}})
        assert EnginePolicy(**OPTIONS)(broken) == (3, {})
        assert RouterPolicy()(Context("router", 2, None)) == (2, {})  # type: ignore[arg-type]
        assert len(caplog.records) == 2
