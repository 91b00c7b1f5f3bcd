"""Stacks beside each other under the same load, in interleaved rounds.

`python -m bench.compare --model small --rounds 3 --concurrency 64`. The first stack is the one
that the others are compared to. Exits with 1 when a stack failed or a request did.
"""

import argparse
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bench import report
from bench.client import Load
from bench.measure import ClientFailed, Run, measure, run_client
from bench.stacks import STACKS, Server, Setup, StackFailed, running
from bench.stats import to_json

_ENGINE_ARGS: dict[str, Any] = {
    "enforce_eager": True,
    "max_model_len": 512,
    "gpu_memory_utilization": 0.2,
    "dtype": "bfloat16",
}
_WARM_UP_SEED = 1_000_000  # no round has its prompts, so no prefix is cached


@dataclass(frozen=True)
class Plan:
    stacks: tuple[str, ...]
    rounds: int
    keep_up: bool
    warm_up_requests: int
    setup: Setup
    load: Load
    """Without the address, which is each stack's own, and with the first round's seed."""


@dataclass
class Outcome:
    runs: list[Run] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    """What went wrong, by stack."""

    @property
    def good(self) -> bool:
        return not self.failures and not any(run.load.errors for run in self.runs)


class Comparison:
    """Carries out a plan; a stack that fails is noted, and the others go on."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self._plan = plan
        self._directory = directory
        self.outcome = Outcome()

    def run(self) -> None:
        if self._plan.keep_up:
            self._rounds_between_running()
        else:
            self._rounds_with_restarts()

    def _rounds_between_running(self) -> None:
        with contextlib.ExitStack() as up:
            servers = {}
            for stack in self._plan.stacks:
                up.enter_context(self._noted(stack))  # for when it stops
                with self._noted(stack):
                    servers[stack] = up.enter_context(self._started(stack))
            for number in range(self._plan.rounds):
                for stack, server in servers.items():
                    with self._noted(stack):
                        self._round(server, number)

    def _rounds_with_restarts(self) -> None:
        for number in range(self._plan.rounds):
            for stack in self._plan.stacks:
                with self._noted(stack), self._started(stack) as server:
                    self._round(server, number)

    @contextlib.contextmanager
    def _started(self, stack: str) -> Iterator[Server]:
        _say(f"{stack}: starts")
        server = None
        try:
            with running(stack, self._plan.setup, self._directory / stack) as server:
                _say(f"{stack}: ready at {server.url} after {server.ready_after_s:.0f} s")
                yield server
        finally:
            if server is not None and server.leftovers:
                _say(f"{stack}: had to kill {', '.join(server.leftovers)}")

    def _round(self, server: Server, number: int) -> None:
        load = replace(self._plan.load, url=server.url, seed=self._plan.load.seed + number)
        warm_up = replace(
            load, seed=load.seed + _WARM_UP_SEED, num_requests=self._plan.warm_up_requests
        )
        if warm_up.num_requests:
            run_client(warm_up)
        run = measure(server.name, number, server.tree, load)
        self.outcome.runs.append(run)
        _say(
            f"round {number + 1} {server.name}: {run.load.output_tok_s:.0f} tok/s, serving "
            f"{run.serving_us_per_token:.0f} us/tok, errors {run.load.errors or 'none'}"
        )

    @contextlib.contextmanager
    def _noted(self, stack: str) -> Iterator[None]:
        try:
            yield
        except (StackFailed, ClientFailed) as exc:
            self.outcome.failures.append((stack, str(exc)))
            _say(f"{stack}: FAILED: {exc}")


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _print(plan: Plan, outcome: Outcome, circumstances: dict[str, str]) -> None:
    baseline = plan.stacks[0]
    found = report.ratios(outcome.runs, baseline)
    for name, value in {**circumstances, "plan": to_json(_plain(plan))}.items():
        print(f"{name}: {value}")
    for text in (
        report.stack_table(outcome.runs),
        report.process_table(outcome.runs),
        *([report.ratio_table(found, baseline)] if found else []),
        *(f"{stack} FAILED: {why}" for stack, why in outcome.failures),
        *(
            f"{run.stack} round {run.round + 1}: {count} x {error}"
            for run in outcome.runs
            for error, count in run.load.errors.items()
        ),
    ):
        print(f"\n{text}")
    print()
    print(
        to_json(
            {
                **circumstances,
                "plan": _plain(plan),
                "ratios": {
                    stack: {name: asdict(of_metric) for name, of_metric in metrics.items()}
                    for stack, metrics in found.items()
                },
                "runs": [run.to_dict() for run in outcome.runs],
                "failures": outcome.failures,
            }
        )
    )


def _plain(plan: Plan) -> dict[str, Any]:
    plain = asdict(plan)
    plain["setup"]["directory"] = plan.setup.directory.name
    del plain["load"]["url"]
    return plain


def _parse(argv: list[str] | None) -> tuple[Plan, Path | None]:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    add = parser.add_argument
    add("--stacks", default="vllm,sluice", help=f"of {', '.join(STACKS)}; the first is the base")
    add("--model", default="small", help="small, 90m, or a model directory")
    add("--rounds", type=int, default=3)
    add("--keep-up", action=argparse.BooleanOptionalAction, default=True)
    add("--warm-up-requests", type=int, default=64, help="before each measured load")
    add("--start-timeout-s", type=float, default=300)
    add("--engine-arg", action="append", default=[], metavar="NAME=VALUE", help="for all stacks")
    add("--env", action="append", default=[], metavar="NAME=VALUE", help="for all stacks")
    add("--log-dir", type=Path, help="where the stacks' logs stay; else they go")
    for name in ("concurrency", "num_requests", "input_len", "output_len", "vocab", "seed"):
        add(f"--{name.replace('_', '-')}", type=int, default=getattr(Load, name))
    add("--no-stream", dest="stream", action="store_false")
    options = parser.parse_args(argv)
    stacks = tuple(options.stacks.split(","))
    if unknown := set(stacks) - STACKS.keys():
        parser.error(f"no stack {', '.join(unknown)}; there are {', '.join(STACKS)}")
    name, directory = _model(options.model)
    engine_args = _ENGINE_ARGS | dict(map(_engine_arg, options.engine_arg))
    environment = dict(text.split("=", 1) for text in options.env)
    setup = Setup(name, directory, engine_args, options.start_timeout_s, environment)
    names = ("concurrency", "num_requests", "input_len", "output_len", "vocab", "seed", "stream")
    load = Load(url="", model=name, **{key: getattr(options, key) for key in names})
    plan = Plan(stacks, options.rounds, options.keep_up, options.warm_up_requests, setup, load)
    return plan, options.log_dir


def _model(name: str) -> tuple[str, Path]:
    if Path(name).is_dir():
        return Path(name).resolve().name, Path(name).resolve()
    from deployments.default_model import ensure

    return f"sluice-{name}", ensure(f"sluice-{name}")


def _engine_arg(text: str) -> tuple[str, Any]:
    """`max_num_seqs=64` with its value as JSON, or as text when it is none."""
    name, _, value = text.partition("=")
    with contextlib.suppress(ValueError):
        return name, json.loads(value)
    return name, value


def main(argv: list[str] | None = None) -> None:
    plan, log_dir = _parse(argv)
    # So that the stacks are stopped then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    circumstances = report.circumstances()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        comparison = Comparison(plan, log_dir or Path(scratch))
        comparison.run()
    _print(plan, comparison.outcome, circumstances)
    sys.exit(0 if comparison.outcome.good else 1)


if __name__ == "__main__":
    main()
