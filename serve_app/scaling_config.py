"""How many replicas models have: `models[].autoscaling`, and `autoscaling:` for all of them.

models:
  - name: my-model
    autoscaling: {min_replicas: 0, max_replicas: 4, target_wait_s: {interactive: 1}}
autoscaling: {gpu_budget: 8}
"""

from collections.abc import Sequence
from typing import Protocol

from pydantic import (
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)

from deployments.scheduling.scaling import TARGET_WAIT_S, Limits
from deployments.scheduling.terms import Level
from serve_app.section import Section


class TargetWaitConfig(Section):
    """How many seconds requests of a class may wait for an engine before there should be more."""

    interactive: PositiveFloat = TARGET_WAIT_S[Level.INTERACTIVE]
    standard: PositiveFloat = TARGET_WAIT_S[Level.STANDARD]
    batch: PositiveFloat = TARGET_WAIT_S[Level.BATCH]


class ScalingConfig(Section):
    """A model whose replicas follow its load."""

    min_replicas: NonNegativeInt = Limits.min_replicas
    """0 lets the last one go when nothing is asked for; who asks then waits for one to start."""
    max_replicas: PositiveInt
    target_wait_s: TargetWaitConfig = TargetWaitConfig()
    hold_s: PositiveFloat = Limits.hold_s
    """For so long fewer replicas must have done before some go."""
    idle_timeout_s: PositiveFloat = Limits.idle_timeout_s
    """For so long nothing must have been asked for before the last one goes."""
    weight: PositiveFloat = 1
    """The model's share of the GPU budget when others want it, too."""

    @field_validator("max_replicas")
    @classmethod
    def _bounds_are_in_order(cls, most: int, info: ValidationInfo) -> int:
        least = info.data.get("min_replicas", 0)
        if most < least:
            raise ValueError(f"min_replicas is {least}, so it must be {least} at least")
        return most


class Model(Protocol):
    """What is asked of a model's configuration."""

    @property
    def name(self) -> str: ...
    @property
    def num_replicas(self) -> int: ...
    @property
    def autoscaling(self) -> ScalingConfig | None: ...
    @property
    def gpus(self) -> float: ...


class SharingConfig(Section):
    """What models that scale have together."""

    gpu_budget: PositiveFloat | None = None
    """GPUs for the replicas of all models, those included that do not scale; null: as many as the
    cluster has or gets."""

    def check(self, models: Sequence[Model]) -> None:
        """Raises ValueError where the budget cannot be kept, or is for nobody."""
        budget = self.gpu_budget
        if budget is None:
            return
        scaling = [model for model in models if model.autoscaling is not None and model.gpus]
        if not scaling:
            raise ValueError("gpu_budget is for models with GPUs that scale, and there is none")
        least = sum(model.gpus * _least(model) for model in models)
        for model in scaling:
            one = 0 if _least(model) else model.gpus
            if least + one > budget:
                needs = f"the least that can be served with {model.name} takes {least + one:g}"
                raise ValueError(f"gpu_budget is {budget:g}, and {needs}")


def _least(model: Model) -> int:
    return model.num_replicas if model.autoscaling is None else model.autoscaling.min_replicas
