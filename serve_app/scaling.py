"""From the configuration to how Serve scales: its options for engine and router deployments.

Serve's own policy is replaced (deployments.autoscaling_policy), and with it all that Serve would do
around it: it neither waits nor averages, as the policy does that by itself.
"""

import warnings
from typing import Any

from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from deployments import signals
from serve_app.config import Settings
from serve_app.model_config import ModelConfig

_MODULE = "deployments.autoscaling_policy"
_AT_ONCE = {"upscale_delay_s": 0, "downscale_delay_s": 0, "downscale_to_zero_delay_s": 0}


def of_engines(model: ModelConfig, settings: Settings, *, fresh: bool = False) -> dict[str, Any]:
    """How many replicas of a model's engine there are: so many, or as many as it needs.

    Serve begins with the minimum, and waits for so many. A `fresh` application that may do with
    none begins with one, so that a model that cannot be served is known at once; one that is there
    already would fall back to it with each update.
    """
    scaling = model.autoscaling
    if scaling is None:
        return {"num_replicas": model.num_replicas}
    plan = {
        "limits": scaling.model_dump(exclude={"weight"}),
        "gpus": model.gpus,
        "weight": scaling.weight,
        "gpu_budget": gpu_budget(settings),
        "model": model.name,
    }
    config = _config(
        "EnginePolicy",
        plan,
        every_s=signals.ENGINE_EVERY_S,
        window_s=signals.ENGINE_WINDOW_S,
        min_replicas=scaling.min_replicas,
        max_replicas=scaling.max_replicas,
        initial_replicas=1 if fresh and model.may_sleep else None,
    )
    return {"autoscaling_config": config}


def of_routers(settings: Settings) -> dict[str, Any]:
    """How many routers there are: always so many, but Serve asks for what they have to tell only
    where it scales."""
    number = settings.router.num_replicas
    if not any(model.autoscaling for model in settings.models):
        return {"num_replicas": number}
    config = _config(
        "RouterPolicy",
        {},
        every_s=signals.ROUTER_EVERY_S,
        window_s=signals.ROUTER_WINDOW_S,
        min_replicas=number,
        max_replicas=number,
    )
    return {"autoscaling_config": config}


def gpu_budget(settings: Settings) -> float | None:
    """What is left of it beside models that do not scale."""
    budget = settings.autoscaling.gpu_budget
    if budget is None:
        return None
    fixed = [model for model in settings.models if model.autoscaling is None]
    return budget - sum(model.gpus * model.num_replicas for model in fixed)


def _config(
    policy: str, options: dict[str, Any], *, every_s: float, window_s: float, **bounds: int | None
) -> AutoscalingConfig:
    with warnings.catch_warnings():
        # The variable that is to replace it is read where Ray starts, which we may not do.
        warnings.filterwarnings("ignore", "The `metrics_interval_s` field", DeprecationWarning)
        return AutoscalingConfig(
            **bounds,
            **_AT_ONCE,
            metrics_interval_s=every_s,
            look_back_period_s=window_s,
            policy=AutoscalingPolicy(policy_function=f"{_MODULE}:{policy}", policy_kwargs=options),
        )
