"""What the runs of a comparison say together: medians, spreads, and ratios to the first stack."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.measure import Run
from bench.plan import Cell
from bench.processes import is_engine
from bench.stats import Spread, difference, median, ratio
from bench.store import Record
from bench.yardstick import Yardstick

Metric = Callable[[Run], float]

METRICS: Mapping[str, Metric] = {
    "output tok/s": lambda run: run.load.output_tok_s,
    "req/s": lambda run: run.load.req_s,
    "TTFT p50 ms": lambda run: run.load.ttft_ms.p50,
    "TTFT p99 ms": lambda run: run.load.ttft_ms.p99,
    "ITL p50 ms": lambda run: run.load.itl_ms.p50,
    "ITL p99 ms": lambda run: run.load.itl_ms.p99,
    "E2E p50 ms": lambda run: run.load.e2e_ms.p50,
    "E2E p99 ms": lambda run: run.load.e2e_ms.p99,
    "serving us/tok": lambda run: run.serving_us_per_token,
    "engine us/tok": lambda run: run.engine_us_per_token,
    "peak RSS MiB": lambda run: run.peak_rss_bytes / 2**20,
}
CONDITIONS: Mapping[str, Metric] = {
    "tokens/event": lambda run: _quotient(run.load.output_tokens, run.load.events),
    "client CPU %": lambda run: run.load.client_cpu_share * 100,
    "client waited %": lambda run: run.load.client_wait_share * 100,
    "other CPU %": lambda run: run.other_cpu_share * 100,
    "errors": lambda run: float(sum(run.load.errors.values())),
}
OUTSIDE: Mapping[str, tuple[Callable[[Yardstick], float], Metric]] = {
    "output tok/s": (lambda held: held.output_tok_s, METRICS["output tok/s"]),
    "TTFT p50 ms": (lambda held: held.ttft_ms.p50, METRICS["TTFT p50 ms"]),
    "TTFT p99 ms": (lambda held: held.ttft_ms.p99, METRICS["TTFT p99 ms"]),
    "ITL p50 ms": (lambda held: held.itl_ms.p50, METRICS["ITL p50 ms"]),
    "ITL p99 ms": (lambda held: held.itl_ms.p99, METRICS["ITL p99 ms"]),
}
"""What the yardstick finds too: its figure and ours."""


def select(record: Record, stack: str, cell: Cell) -> list[Run]:
    """The rounds of one stack under one load."""
    return [run for run in record.runs if (run.stack, run.cell) == (stack, cell)]


def held(record: Record, stack: str, cell: Cell) -> list[Yardstick]:
    """The same of the yardstick."""
    return [found for found in record.yardsticks if (found.stack, found.cell) == (stack, cell)]


def spread(runs: Iterable[Run], metric: Metric) -> Spread | None:
    return Spread.of(map(metric, runs))


def ratio_of(record: Record, stack: str, cell: Cell, metric: Metric) -> Spread | None:
    """To the first stack, pair by pair of one round."""
    return ratio(_pairs(record, stack, cell, metric))


def difference_of(record: Record, stack: str, cell: Cell, metric: Metric) -> Spread | None:
    """How much more than the first stack, pair by pair of one round."""
    return difference(_pairs(record, stack, cell, metric))


def processes(runs: Sequence[Run]) -> dict[str, float]:
    """CPU microseconds for each token of each process, the median of the rounds, largest first."""
    labels = {label for run in runs for label in run.cpu_s}
    used = {label: median(run.process_us_per_token(label) for run in runs) for label in labels}
    return dict(sorted(used.items(), key=lambda item: (-item[1], item[0])))


def serving_processes(runs: Sequence[Run]) -> dict[str, float]:
    """The same without the engine's."""
    return {label: us for label, us in processes(runs).items() if not is_engine(label)}


def summarize(record: Record) -> dict[str, Any]:
    """Everything as plain values, for JSON."""
    return {
        "circumstances": record.circumstances,
        "plan": asdict(record.plan),
        "simulated": record.plan.simulated,
        "results": [
            asdict(cell) | {"stack": stack} | _figures(record, stack, cell)
            for cell in record.plan.cells()
            for stack in record.plan.stacks
        ],
        "failures": [asdict(failure) for failure in record.failures],
    }


def _figures(record: Record, stack: str, cell: Cell) -> dict[str, Any]:
    runs = select(record, stack, cell)
    outside = held(record, stack, cell)
    base = record.plan.stacks[0]
    ttft = METRICS["TTFT p50 ms"]
    return {
        "rounds": len(runs),
        "figures": {
            name: asdict(found)
            for name, metric in {**METRICS, **CONDITIONS}.items()
            if (found := spread(runs, metric))
        },
        f"ratio to {base}": {
            name: asdict(found)
            for name, metric in METRICS.items()
            if stack != base and (found := ratio_of(record, stack, cell, metric))
        },
        f"TTFT p50 ms above {base}": (
            asdict(found) if (found := difference_of(record, stack, cell, ttft)) else None
        ),
        "yardstick": {
            name: asdict(found)
            for name, (theirs, _) in OUTSIDE.items()
            if (found := Spread.of(map(theirs, outside)))
        },
    }


def _pairs(record: Record, stack: str, cell: Cell, metric: Metric) -> list[tuple[float, float]]:
    base = {run.round: run for run in select(record, record.plan.stacks[0], cell)}
    mine = [run for run in select(record, stack, cell) if run.round in base]
    return [(metric(run), metric(base[run.round])) for run in mine]


def _quotient(value: float, by: float) -> float:
    return value / by if by else float("nan")
