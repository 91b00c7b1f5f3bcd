"""The command line of a comparison."""

import argparse
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bench.client import Load
from bench.plan import PRESETS, STREAM, WHOLE, Lengths, Plan
from bench.stacks import ROOT, STACKS, exists

_ENGINE_ARGS: Mapping[str, Any] = {
    "max_model_len": 1024,
    "gpu_memory_utilization": 0.2,
    "dtype": "bfloat16",
}
_EAGER: Mapping[str, Any] = {"enforce_eager": True}
_SIMULATED: Mapping[str, Any] = {
    "distributed_executor_backend": "bench.simulated.executor.SimulatedExecutor",
    # What vLLM's server chooses on a GPU of 70 GiB or more; its CPU build has other ideas.
    "block_size": 16,
    "max_num_seqs": 1024,
    "max_num_batched_tokens": 8192,
    "gpu_memory_utilization": 0.9,
}
_OWN_EXECUTOR = {"vllm-uniproc", "sluice-mp"}  # these would compute, not simulate
_T = TypeVar("_T")


@dataclass(frozen=True)
class Options:
    """What to do, and where what it needs and leaves is."""

    plan: Plan
    models: Mapping[str, Path]
    """The directory of each."""
    output: Path
    log_dir: Path | None
    verbose: bool


def parse(argv: list[str] | None = None) -> Options:
    """Ends the program where the options make no sense."""
    parser = _parser()
    preset, _ = parser.parse_known_args(argv)
    parser.set_defaults(**PRESETS[preset.preset])
    given = parser.parse_args(argv)
    if unknown := [stack for stack in given.stacks if not exists(stack)]:
        parser.error(f"no stack {', '.join(unknown)}; there are {', '.join(STACKS)}")
    if given.simulated is not None and (real := _OWN_EXECUTOR.intersection(given.stacks)):
        parser.error(f"{', '.join(real)} cannot be simulated: an executor is what they are about")
    models = dict(map(_model, given.model))
    plan = Plan(
        label=given.label or _label(given),
        stacks=given.stacks,
        models=tuple(models),
        modes=given.mode,
        engine_args=_engine_args(given),
        environment=dict(text.split("=", 1) for text in given.env),
        **{name: getattr(given, name) for name in _AS_GIVEN},
    )
    return Options(plan, models, given.output, given.log_dir, given.verbose)


_AS_GIVEN = (
    "lengths",
    "concurrency",
    "rounds",
    "seed",
    "vocab",
    "seconds",
    "expected_tok_s",
    "num_requests",
    "warm_up_requests",
    "start_timeout_s",
    "yardstick",
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.compare")
    add = parser.add_argument
    add("--preset", choices=PRESETS, default="quick", help="what is compared if not said here")
    add("--stacks", type=_list(str), help=f"of {', '.join(STACKS)}; the first is the base")
    add("--model", type=_list(str), help="of small, 90m, and model directories")
    add("--lengths", type=_list(Lengths.parse), help="of short, long, and forms like 64x64")
    add("--concurrency", type=_list(_positive), help="users, for example 1,16,64,256")
    add("--mode", type=_list(_mode), help=f"of {STREAM}, {WHOLE}")
    add("--rounds", type=_positive, default=3)
    add("--seconds", type=float, default=6, help="about how long each load is to take")
    add("--expected-tok-s", type=float, help="sizes the loads; a guess by model if not given")
    add("--num-requests", type=_positive, help="of every load, whatever it takes")
    add("--warm-up-requests", type=int, default=64, help="after each start")
    add("--seed", type=int, default=0)
    add("--vocab", type=int, default=Load.vocab, help="prompts are ids below this")
    add("--defaults", action="store_true", help="each stack's own way to run, so compiled")
    add("--simulated", type=json.loads, metavar="JSON", help="the GPU that computes, simulated")
    add("--engine-arg", type=_engine_arg, action="append", default=[], metavar="NAME=VALUE")
    add("--env", action="append", default=[], metavar="NAME=VALUE", help="for all stacks")
    add("--start-timeout-s", type=float, default=300)
    add("--yardstick", action="store_true", help="let vllm bench serve measure as well")
    add("--output", type=Path, default=ROOT / "bench" / "results", help="a directory")
    add("--label", help="what the files are called, after the date")
    add("--log-dir", type=Path, help="where the stacks' logs stay; else they go")
    add("--verbose", action="store_true", help="every process and every round")
    return parser


def _list(kind: Callable[[str], _T]) -> Callable[[str], tuple[_T, ...]]:
    def parsed(text: str) -> tuple[_T, ...]:
        try:
            return tuple(dict.fromkeys(map(kind, text.split(","))))
        except ValueError as exc:
            raise argparse.ArgumentTypeError(f"{text}: {exc}") from exc

    return parsed


def _positive(text: str) -> int:
    if int(text) < 1:
        raise ValueError(f"{text} is below 1")
    return int(text)


def _mode(text: str) -> str:
    if text not in (STREAM, WHOLE):
        raise ValueError(f"there are {STREAM} and {WHOLE}")
    return text


def _model(name: str) -> tuple[str, Path]:
    if Path(name).is_dir():
        return Path(name).resolve().name, Path(name).resolve()
    from deployments.default_model import ensure

    return name, ensure(f"sluice-{name}")


def _engine_arg(text: str) -> tuple[str, Any]:
    """`max_num_seqs=64` with its value as JSON, or as text when it is none."""
    name, _, value = text.partition("=")
    with contextlib.suppress(ValueError):
        return name, json.loads(value)
    return name, value


def _engine_args(given: argparse.Namespace) -> dict[str, Any]:
    args = {**_ENGINE_ARGS, **({} if given.defaults else _EAGER)}
    if given.simulated is not None:
        args |= {**_SIMULATED, "additional_config": {"simulated": given.simulated}}
    return args | dict(given.engine_arg)


def _label(given: argparse.Namespace) -> str:
    simulated = ["simulated"] if given.simulated is not None else []
    compiled = ["defaults"] if given.defaults else []
    return "-".join([given.preset, *simulated, *compiled])
