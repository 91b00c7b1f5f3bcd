"""What `additional_config["simulated"]` may say."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from bench.simulated.presets import GPUS, MODELS
from bench.simulated.roofline import Roofline

KEY = "simulated"
ROOFLINE = "roofline"

_KEYS = ("gpu", "model", "tensor_parallel_size", "step_time", "async_scheduling")
_T = TypeVar("_T")


class BadSettings(ValueError):
    """The message is one line that begins with the key."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{KEY}.{key}: {problem}" if key else f"{KEY}: {problem}")


@dataclass(frozen=True)
class Settings:
    """A simulated GPU, or several as one."""

    roofline: Roofline
    """From `gpu` and `model`, which must be given, and `tensor_parallel_size` (default 1), which is
    not vLLM's own: to vLLM these GPUs are one device."""
    fixed_step_s: float | None
    """`step_time` in seconds, 0 for none at all; None for the default, "roofline"."""
    async_scheduling: bool
    """`async_scheduling`: whether the next step is scheduled while one runs. True by default, as
    vLLM's on a GPU. vLLM's own argument cannot say it: the CPU platform overrules that one."""


def parse(additional_config: Mapping[str, Any]) -> Settings:
    """Raises BadSettings."""
    given = additional_config.get(KEY)
    if not isinstance(given, dict):
        raise BadSettings("", f"additional_config must hold an object of this name, not {given!r}")
    for key in given:
        if key not in _KEYS:
            raise BadSettings(str(key), f"no such key; there are {', '.join(_KEYS)}")
    overlap = given.get("async_scheduling", True)
    if not isinstance(overlap, bool):
        raise BadSettings("async_scheduling", f"must be true or false, not {overlap!r}")
    gpu, model = _preset(given, "gpu", GPUS), _preset(given, "model", MODELS)
    size = given.get("tensor_parallel_size", 1)
    heads = model.num_attention_heads
    if type(size) is not int or size < 1 or heads % size:
        raise BadSettings("tensor_parallel_size", f"must divide {heads} heads, not {size!r}")
    return Settings(Roofline(gpu, model, size), _step_time(given), overlap)


def _preset(given: Mapping[str, Any], key: str, presets: Mapping[str, _T]) -> _T:
    if key not in given:
        raise BadSettings(key, f"is missing; give one of {', '.join(presets)}")
    name = given[key]
    if not isinstance(name, str) or name not in presets:
        raise BadSettings(key, f"unknown value {name!r}; give one of {', '.join(presets)}")
    return presets[name]


def _step_time(given: Mapping[str, Any]) -> float | None:
    value = given.get("step_time", ROOFLINE)
    if value == ROOFLINE:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadSettings("step_time", f'must be "{ROOFLINE}" or seconds, not {value!r}')
    if not (math.isfinite(value) and value >= 0):
        raise BadSettings("step_time", f"must be finite and not negative, not {value!r}")
    return float(value)
