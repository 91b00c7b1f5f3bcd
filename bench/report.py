"""What a comparison prints. From stored ones: `python -m bench.report FILE.jsonl...`.

Several files become one comparison, each bringing its rounds. The plots go beside the first file.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from bench import plots
from bench.plan import Cell
from bench.processes import is_engine
from bench.stats import Spread, median, to_json
from bench.store import CannotRead, Record, read
from bench.summary import (
    CONDITIONS,
    METRICS,
    OUTSIDE,
    difference_of,
    held,
    processes,
    ratio_of,
    select,
    spread,
    summarize,
)
from bench.table import table

_FIGURES = {
    "req/s": METRICS["req/s"],
    **{f"{name} p{p}": METRICS[f"{name} p{p} ms"] for name in ("TTFT", "ITL") for p in (50, 99)},
    "serving us/tok": METRICS["serving us/tok"],
    "engine us/tok": METRICS["engine us/tok"],
    "client %": CONDITIONS["client CPU %"],
    "waited %": CONDITIONS["client waited %"],
    "other %": CONDITIONS["other CPU %"],
    "RSS MiB": METRICS["peak RSS MiB"],
}
_RATIOS = (
    "output tok/s",
    "TTFT p50 ms",
    "TTFT p99 ms",
    "ITL p50 ms",
    "ITL p99 ms",
    "serving us/tok",
)
_SMALLEST_US = 0.05
_ABSENT = "-"


def render(record: Record, *, verbose: bool = False) -> str:
    """Everything that a person reads."""
    blocks = [_head(record)]
    for cells in _panels(record):
        blocks.append(f"{heading(record, cells[0])}\n{_figure_table(record, cells)}")
        if len(record.plan.stacks) > 1:
            blocks.append(_ratio_table(record, cells))
            if verbose:
                blocks.append(_round_table(record, cells))
        for cell in cells:
            if verbose or record.plan.is_headline(cell):
                blocks.append(_process_table(record, cell))
                blocks += [_yardstick_table(record, cell)] if record.plan.yardstick else []
    blocks += _troubles(record)
    return "\n\n".join(blocks)


def heading(record: Record, cell: Cell) -> str:
    """What the cells of one table have in common."""
    lengths = f"{cell.lengths.prompt} tokens in, {cell.lengths.answer} out"
    return f"== {record.plan.model_title(cell.model)}: {lengths}, {_mode(cell)} =="


def _head(record: Record) -> str:
    lines = [f"{name}: {value}" for one in record.circumstances for name, value in one.items()]
    plan = record.plan
    if plan.simulated is not None:
        lines.append(f"SIMULATED COMPUTE, not this machine's: {plan.simulated_title}")
    lines += [
        f"engine arguments: {to_json(plan.engine_args)}",
        f"environment: {to_json(plan.environment)}",
        f"rounds: {plan.rounds}; requests to warm up: {plan.warm_up_requests}; seed: {plan.seed}",
        f"ratios are to {plan.stacks[0]}, pair by pair of one round: median (lowest to highest)",
        "latencies in ms; client % is of one core, other % of the machine",
        "waited %: of the time, when the client could run and got no core; a run with much is bad",
        "serving us/tok: CPU of all processes of a stack but the engine core and its workers",
    ]
    if any(run.client_is_inside for run in record.runs):
        inside = dict.fromkeys(run.stack for run in record.runs if run.client_is_inside)
        lines.append(f"the client is inside {', '.join(inside)}: its CPU is in serving us/tok too")
    return "\n".join(lines)


def _panels(record: Record) -> Iterator[list[Cell]]:
    """The cells of each table: those that differ in concurrency only."""

    def common(cell: Cell) -> tuple[int, int, bool]:
        plan = record.plan
        return plan.models.index(cell.model), plan.lengths.index(cell.lengths), not cell.stream

    for _, cells in groupby(sorted(record.plan.cells(), key=common), common):
        yield sorted(cells, key=lambda cell: cell.concurrency)


def _figure_table(record: Record, cells: Sequence[Cell]) -> str:
    rows = [["users", "stack", "tok/s", "low-high", *_FIGURES, "errors", "rounds"]]
    for cell in cells:
        for stack in record.plan.stacks:
            runs = select(record, stack, cell)
            rate = spread(runs, METRICS["output tok/s"])
            rows.append(
                [
                    str(cell.concurrency),
                    stack,
                    _figure(rate.median) if rate else _ABSENT,
                    f"{rate.low:.0f}-{rate.high:.0f}" if rate else _ABSENT,
                    *(_figure(median(map(metric, runs))) for metric in _FIGURES.values()),
                    str(sum(sum(run.load.errors.values()) for run in runs)),
                    f"{len(runs)}/{record.plan.rounds}",
                ]
            )
    return table(rows)


def _ratio_table(record: Record, cells: Sequence[Cell]) -> str:
    base, *others = record.plan.stacks
    names = [name.removesuffix(" ms") for name in _RATIOS]
    rows = [["users", "ratio", *names, f"TTFT p50 above {base}", "tok/s by round"]]
    for cell in cells:
        for stack in others:
            found = [ratio_of(record, stack, cell, METRICS[name]) for name in _RATIOS]
            above = difference_of(record, stack, cell, METRICS["TTFT p50 ms"])
            by_round = " ".join(f"{x:.3f}" for x in found[0].rounds) if found[0] else _ABSENT
            rows.append(
                [
                    str(cell.concurrency),
                    f"{stack}/{base}",
                    *map(_range, found),
                    _range(above, "+.1f") + (" ms" if above else ""),
                    by_round,
                ]
            )
    return table(rows)


def _round_table(record: Record, cells: Sequence[Cell]) -> str:
    base, *others = record.plan.stacks
    rows = [["users", "ratio", "metric", "median", "lowest", "highest", "rounds"]]
    for cell in cells:
        for stack in others:
            for name, metric in METRICS.items():
                if found := ratio_of(record, stack, cell, metric):
                    spelt = [f"{x:.3f}" for x in (found.median, found.low, found.high)]
                    each = " ".join(f"{x:.3f}" for x in found.rounds)
                    rows.append([str(cell.concurrency), f"{stack}/{base}", name, *spelt, each])
    return table(rows)


def _process_table(record: Record, cell: Cell) -> str:
    """Which process used how much CPU for each token, largest first."""
    rows = [[f"stack ({cell.concurrency} users)", "process", "class", "us/tok"]]
    for stack in record.plan.stacks:
        for label, us in processes(select(record, stack, cell)).items():
            if us >= _SMALLEST_US:
                kind = "engine" if is_engine(label) else "serving"
                rows.append([stack, label, kind, _figure(us)])
    return table(rows)


def _yardstick_table(record: Record, cell: Cell) -> str:
    names = [name.removesuffix(" ms") for name in OUTSIDE]
    rows = [[f"client ({cell.concurrency} users)", "stack", *names, "errors", "rounds"]]
    for stack in record.plan.stacks:
        runs, outside = select(record, stack, cell), held(record, stack, cell)
        ours = [median(map(metric, runs)) for _, metric in OUTSIDE.values()]
        theirs = [median(map(metric, outside)) for metric, _ in OUTSIDE.values()]
        errors = sum(sum(run.load.errors.values()) for run in runs)
        failed = sum(found.failed for found in outside)
        rows += [
            ["ours", stack, *map(_figure, ours), str(errors), str(len(runs))],
            ["vllm bench serve", stack, *map(_figure, theirs), str(failed), str(len(outside))],
        ]
    return table(rows)


def _troubles(record: Record) -> list[str]:
    """What failed, each thing once with how often."""
    found = [
        f"{failure.stack} FAILED ({failure.model}, round {failure.round + 1}): {failure.why}"
        for failure in record.failures
    ]
    found += [
        f"{run.stack}, {run.cell.model} {run.cell.lengths} {_mode(run.cell)}, "
        f"{run.cell.concurrency} users, round {run.round + 1}: {count} x {error}"
        for run in record.runs
        for error, count in run.load.errors.items()
    ]
    return found


def _mode(cell: Cell) -> str:
    return "streaming" if cell.stream else "whole answers"


def _figure(value: float) -> str:
    if value != value:
        return _ABSENT
    return (
        f"{value:.0f}"
        if abs(value) >= 1000
        else f"{value:.1f}"
        if abs(value) >= 10
        else f"{value:.2f}"
    )


def _range(found: Spread | None, style: str = ".2f") -> str:
    if found is None:
        return _ABSENT
    return f"{found.median:{style}} ({found.low:{style}} to {found.high:{style}})"


def main(argv: list[str] | None = None) -> None:
    """Tables and plots of stored comparisons, one line of JSON last."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--verbose", action="store_true", help="every process and every round")
    parser.add_argument("--plots", type=Path, help="how the plots' names begin")
    options = parser.parse_args(argv)
    try:
        record = read(options.files)
    except (OSError, CannotRead) as exc:
        sys.exit(str(exc))
    print(render(record, verbose=options.verbose))
    plots.draw(record, options.plots or options.files[0].with_suffix(""))
    print(f"\n{to_json(summarize(record))}")


if __name__ == "__main__":
    main()
