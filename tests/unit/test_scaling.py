"""How Serve is told to scale, by the configuration."""

from typing import Any

import pytest
from ray.serve.config import AutoscalingConfig

from deployments import engine_args, signals
from deployments.autoscaler import Plan
from deployments.scheduling.supply import SETTLED_S
from serve_app import application, config, scaling
from serve_app.config import ConfigError, Settings


def settings(*models: dict[str, Any], **others: Any) -> Settings:
    named = [{"name": f"m{i}", "source": f"org/m{i}", **each} for i, each in enumerate(models)]
    return config.load({"models": named, **others})


def options(found: Settings, number: int = 0) -> dict[str, Any]:
    return scaling.of_engines(found.models[number], found)


def plan(found: Settings, number: int = 0) -> Plan:
    autoscaling: AutoscalingConfig = options(found, number)["autoscaling_config"]
    return Plan.of(autoscaling.policy.policy_kwargs)


def refusal(*models: dict[str, Any], **others: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        settings(*models, **others)
    return str(refused.value)


SCALES = {"autoscaling": {"min_replicas": 0, "max_replicas": 4}}
ON_A_GPU = {"num_gpus": 1}


class TestAModel:
    def test_that_does_not_scale_has_the_replicas_that_were_asked_for(self) -> None:
        found = settings({"num_replicas": 3})
        assert options(found) == {"num_replicas": 3}
        assert scaling.of_routers(found) == {"num_replicas": 1}

    def test_that_scales_has_its_bounds_and_our_policy(self) -> None:
        autoscaling = options(settings(SCALES))["autoscaling_config"]
        assert (autoscaling.min_replicas, autoscaling.max_replicas) == (0, 4)
        assert autoscaling.policy.policy_function == "deployments.autoscaling_policy:EnginePolicy"

    def test_that_scales_waits_for_nothing_but_its_policy(self) -> None:
        autoscaling = options(settings(SCALES))["autoscaling_config"]
        assert autoscaling.upscale_delay_s == autoscaling.downscale_delay_s == 0
        assert autoscaling.downscale_to_zero_delay_s == 0
        assert autoscaling.initial_replicas is None  # an update would go back to it

    def test_that_may_sleep_begins_with_one_where_it_is_not_there_yet(self) -> None:
        found = settings(SCALES)
        fresh = scaling.of_engines(found.models[0], found, fresh=True)["autoscaling_config"]
        assert (fresh.min_replicas, fresh.initial_replicas) == (0, 1)

    def test_that_scales_has_the_limits_that_were_given(self) -> None:
        given = {
            "min_replicas": 1,
            "max_replicas": 3,
            "target_wait_s": {"interactive": 0.5},
            "hold_s": 30,
            "idle_timeout_s": 60,
            "weight": 2,
        }
        found = plan(settings({"autoscaling": given}))
        assert (found.limits.min_replicas, found.limits.max_replicas) == (1, 3)
        assert list(found.limits.target_wait_s.values()) == [0.5, 5, 60]
        assert (found.limits.hold_s, found.limits.idle_timeout_s, found.weight) == (30, 60, 2)

    def test_may_sleep_where_its_minimum_is_zero(self) -> None:
        found = settings(SCALES, {"autoscaling": {"max_replicas": 2}}, {})
        assert [model.may_sleep for model in found.models] == [True, False, False]


class TestGpus:
    def test_are_those_that_a_replica_reserves(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine_args, "is_cpu_build", lambda: False)
        found = settings(
            {"engine_args": {"tensor_parallel_size": 2}}, {"num_gpus": 0.5}, {"num_gpus": 0}
        )
        assert [model.gpus for model in found.models] == [2, 0.5, 0]

    def test_are_none_on_a_cpu_unless_it_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine_args, "is_cpu_build", lambda: True)
        assert [model.gpus for model in settings({}, ON_A_GPU).models] == [0, 1]

    def test_of_models_that_do_not_scale_are_taken_off_the_budget(self) -> None:
        fixed = {"num_gpus": 2, "num_replicas": 2}
        found = settings(SCALES | ON_A_GPU, fixed, autoscaling={"gpu_budget": 8})
        assert plan(found).gpu_budget == 4

    def test_are_unbounded_without_a_budget(self) -> None:
        assert plan(settings(SCALES | ON_A_GPU)).gpu_budget is None


class TestRouters:
    def test_stay_as_many_as_they_are_and_tell_what_they_know(self) -> None:
        found = settings(SCALES, router={"num_replicas": 2})
        autoscaling = scaling.of_routers(found)["autoscaling_config"]
        assert autoscaling.min_replicas == autoscaling.max_replicas == 2
        assert autoscaling.metrics_interval_s == signals.ROUTER_EVERY_S

    def test_tell_of_no_longer_than_replicas_are_settled(self) -> None:
        assert signals.ROUTER_WINDOW_S <= SETTLED_S


class TestRefusals:
    @pytest.mark.parametrize(
        ("model", "others", "says"),
        [
            ({"autoscaling": {}}, {}, "models.0.autoscaling.max_replicas: Field required"),
            (
                {"autoscaling": {"min_replicas": 3, "max_replicas": 2}},
                {},
                "models.0.autoscaling.max_replicas: min_replicas is 3, so it must be 3 at least",
            ),
            (
                {**SCALES, "num_replicas": 2},
                {},
                "models.0.autoscaling: num_replicas is for a model that does not scale",
            ),
            (
                {"num_gpus": 1},
                {"autoscaling": {"gpu_budget": 4}},
                "autoscaling: gpu_budget is for models with GPUs that scale, and there is none",
            ),
            (
                {"autoscaling": {"min_replicas": 3, "max_replicas": 4}, **ON_A_GPU},
                {"autoscaling": {"gpu_budget": 2}},
                "gpu_budget is 2, and the least that can be served with m0 takes 3",
            ),
            (
                {**SCALES, "num_gpus": 4},
                {"autoscaling": {"gpu_budget": 2}},
                "gpu_budget is 2, and the least that can be served with m0 takes 4",
            ),
        ],
    )
    def test_name_the_key(self, model: dict[str, Any], others: dict[str, Any], says: str) -> None:
        assert says in refusal(model, **others)


def test_an_application_is_made_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = application.application(settings({**SCALES, "source": "embedded:sluice-small"}))
    router = made._bound_deployment
    [engine] = made._bound_deployment.init_args[2].values()
    assert router._deployment_config.autoscaling_config.max_replicas == 1
    assert engine._bound_deployment._deployment_config.autoscaling_config.max_replicas == 4
