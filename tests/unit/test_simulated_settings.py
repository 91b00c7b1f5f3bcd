"""What a user may say of the simulated GPU, and how a mistake is reported."""

from typing import Any

import pytest

from bench.simulated.presets import GPUS, MODELS
from bench.simulated.settings import BadSettings, parse

ENOUGH = {"gpu": "h200", "model": "llama-3.1-8b"}


def test_a_gpu_and_a_model_are_enough() -> None:
    settings = parse({"simulated": ENOUGH})
    assert settings.roofline.gpu == GPUS["h200"]
    assert settings.roofline.model == MODELS["llama-3.1-8b"]
    assert settings.roofline.tensor_parallel_size == 1
    assert settings.fixed_step_s is None
    assert settings.async_scheduling


def test_everything_can_be_said() -> None:
    more = {"tensor_parallel_size": 4, "step_time": 0, "async_scheduling": False}
    settings = parse({"simulated": {**ENOUGH, **more}, "somebody_elses": {}})
    assert settings.roofline.tensor_parallel_size == 4
    assert settings.fixed_step_s == 0.0
    assert not settings.async_scheduling


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gpu", "h300"),
        ("gpu", None),
        ("model", ["llama-3.1-8b"]),
        ("tensor_parallel_size", 0),
        ("tensor_parallel_size", 3),
        ("tensor_parallel_size", True),
        ("tensor_parallel_size", "2"),
        ("step_time", "fast"),
        ("step_time", True),
        ("step_time", None),
        ("step_time", -1),
        ("step_time", float("nan")),
        ("step_time", float("inf")),
        ("async_scheduling", "yes"),
        ("gpus", 2),
    ],
)
def test_a_mistake_is_named_in_one_line(key: str, value: Any) -> None:
    with pytest.raises(BadSettings) as raised:
        parse({"simulated": {**ENOUGH, key: value}})
    (line,) = str(raised.value).splitlines()
    assert line.startswith(f"simulated.{key}: ")


@pytest.mark.parametrize("key", ["gpu", "model"])
def test_what_is_missing_is_named(key: str) -> None:
    given = {name: value for name, value in ENOUGH.items() if name != key}
    with pytest.raises(BadSettings, match=rf"simulated\.{key}: is missing; give one of "):
        parse({"simulated": given})


@pytest.mark.parametrize("given", [{}, {"simulated": None}, {"simulated": "h200"}])
def test_nothing_said_is_a_mistake(given: dict[str, Any]) -> None:
    with pytest.raises(BadSettings, match="simulated: additional_config must hold an object"):
        parse(given)
