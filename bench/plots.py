"""A comparison as pictures: throughput, latency, and what serving costs."""

import statistics
import textwrap
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator, ScalarFormatter

from bench.plan import Cell, Lengths, Plan
from bench.store import Record
from bench.summary import METRICS, select, serving_processes, spread

COLOURS: Mapping[str, str] = {
    "vllm": "#1f77b4",
    "vllm-uniproc": "#7fb8e0",
    "rayllm": "#d62728",
    "rayllm-direct": "#ff7f0e",
    "sluice": "#2ca02c",
    "sluice-mp": "#98df8a",
    "alone": "#7f7f7f",
}
"""Of each stack, in every picture."""

_THROUGHPUT = "output tok/s"
_LATENCIES = ("TTFT p50 ms", "TTFT p99 ms", "ITL p99 ms")
_PANEL = (4.4, 3.2)  # inches
_NARROWEST = 7.5
_PER_INCH = 12  # characters of the title
_APART = 1.05  # from stack to stack along the x axis, so that error bars do not hide each other
_MOST_PROCESSES = 9
_CUT = 3.5  # times the median stack: a bar that goes beyond would flatten all others


def draw(record: Record, beginning: Path) -> list[Path]:
    """Every picture that there are runs for, each in a file whose name begins so."""
    figures = {}
    if any(not run.cell.stream for run in record.runs):
        figures["throughput-whole"] = _throughput(record, stream=False)
    if any(run.cell.stream for run in record.runs):
        figures["throughput"] = _throughput(record, stream=True)
        figures["latency"] = _latency(record)
        figures["cpu"] = _cpu(record)
    paths = []
    for name, figure in figures.items():
        paths.append(beginning.with_name(f"{beginning.name}-{name}.png"))
        figure.savefig(paths[-1], dpi=120)
    return paths


def _throughput(record: Record, *, stream: bool) -> Figure:
    plan = record.plan
    title = f"Throughput, {'streaming' if stream else 'whole answers'}"
    figure, panels = _panels(record, len(plan.models), len(plan.lengths), title, bars=True)
    for axes, (model, lengths) in zip(panels.flat, _kinds(plan), strict=True):
        _lines(axes, record, model, lengths, _THROUGHPUT, stream=stream)
        axes.set_title(_panel_title(plan, model, lengths), fontsize=10)
        axes.set_ylabel("output (tokens/s)")
        axes.set_ylim(bottom=0)
    _legend(figure, panels.flat[0], columns=len(plan.stacks))
    return figure


def _latency(record: Record) -> Figure:
    kinds = _kinds(record.plan)
    figure, panels = _panels(record, len(kinds), len(_LATENCIES), "Latency, streaming", bars=True)
    cells = product(kinds, _LATENCIES)
    for axes, ((model, lengths), name) in zip(panels.flat, cells, strict=True):
        _lines(axes, record, model, lengths, name, stream=True)
        axes.set_title(_panel_title(record.plan, model, lengths), fontsize=10)
        axes.set_ylabel(name.replace(" ms", " (ms)"))
        if axes.dataLim.height >= 0:  # infinitely below where nothing is drawn
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter(ScalarFormatter())
    _legend(figure, panels.flat[0], columns=len(record.plan.stacks))
    return figure


def _lines(
    axes: Axes, record: Record, model: str, lengths: Lengths, name: str, *, stream: bool
) -> None:
    """A line for each stack through its medians, with bars from the lowest round to the highest."""
    stacks, concurrency = record.plan.stacks, sorted(record.plan.concurrency)
    cells = [Cell(model, lengths, users, stream) for users in concurrency]
    for place, stack in enumerate(stacks):
        spreads = [(cell, spread(select(record, stack, cell), METRICS[name])) for cell in cells]
        found = [(cell.concurrency, one) for cell, one in spreads if one is not None]
        shift = _APART ** (place - (len(stacks) - 1) / 2)
        axes.errorbar(
            [users * shift for users, _ in found],
            [one.median for _, one in found],
            yerr=[
                [one.median - one.low for _, one in found],
                [one.high - one.median for _, one in found],
            ],
            label=stack,
            color=COLOURS.get(stack, "black"),
            marker="o",
            markersize=4,
            elinewidth=1,
            capsize=2.5,
        )
    axes.set_xscale("log")
    axes.set_xlim(concurrency[0] / 1.5, concurrency[-1] * 1.5)
    axes.xaxis.set_major_locator(FixedLocator(concurrency))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel("concurrent requests")
    axes.grid(alpha=0.3)


def _cpu(record: Record) -> Figure:
    """What each serving process costs: a bar for each stack, a part of it for each process."""
    plan = record.plan
    cells = [cell for cell in plan.cells() if plan.is_headline(cell)]
    title = f"Serving CPU by process, streaming, {cells[0].concurrency} concurrent requests"
    figure, panels = _panels(record, len(plan.models), len(plan.lengths), title)
    used = {cell: [_used(record, stack, cell) for stack in plan.stacks] for cell in cells}
    most: dict[str, float] = {}
    for one in (one for of_cell in used.values() for one in of_cell):
        for label, us in one.items():
            most[label] = max(us, most.get(label, 0.0))
    shown = sorted(most, key=lambda label: -most[label])[:_MOST_PROCESSES]
    for axes, cell in zip(panels.flat, cells, strict=True):
        _stacked(axes, [_bar_name(record, stack) for stack in plan.stacks], used[cell], shown)
        axes.set_title(_panel_title(plan, cell.model, cell.lengths), fontsize=10)
        axes.set_ylabel("CPU (µs per output token)")
    _legend(figure, panels.flat[0], columns=2)
    return figure


def _stacked(
    axes: Axes, names: Sequence[str], used: Sequence[Mapping[str, float]], shown: Sequence[str]
) -> None:
    colours = matplotlib.colormaps["tab10"]
    places = range(len(names))
    bottoms = [0.0] * len(names)
    parts = {label: [one.get(label, 0.0) for one in used] for label in shown}
    parts["others"] = [sum(us for k, us in one.items() if k not in shown) for one in used]
    for number, (label, heights) in enumerate(parts.items()):
        axes.bar(places, heights, bottom=bottoms, label=label, color=colours(number), width=0.65)
        bottoms = [low + high for low, high in zip(bottoms, heights, strict=True)]
    top = min(max(bottoms), _CUT * statistics.median(bottoms)) or 1.0
    axes.set_ylim(0, top * 1.12)
    for place, total in enumerate(bottoms):
        text = f"{total:.0f}" if total <= top else f"{total:.0f} (cut)"
        axes.annotate(text, (place, min(total, top)), ha="center", va="bottom", fontsize=9)
        if total > top:  # what goes beyond the number would run through it
            axes.bar(place, top, bottom=top, color="white", width=0.7)
    axes.set_xticks(places, names, rotation=20, ha="right", rotation_mode="anchor")


def _used(record: Record, stack: str, cell: Cell) -> dict[str, float]:
    """By process, and whatever the model, as the same process serves each."""
    found = serving_processes(select(record, stack, cell))
    return {label.removesuffix(cell.model).rstrip("-:"): us for label, us in found.items()}


def _bar_name(record: Record, stack: str) -> str:
    inside = any(run.client_is_inside for run in record.runs if run.stack == stack)
    return f"{stack} + client" if inside else stack


def _panels(
    record: Record, rows: int, columns: int, title: str, *, bars: bool = False
) -> tuple[Figure, Any]:
    width = max(_PANEL[0] * columns, _NARROWEST)
    figure = Figure(figsize=(width, _PANEL[1] * rows + 1.6), layout="constrained")
    lines = [f"{title}: medians of {record.plan.rounds} rounds"]
    lines[0] += ", bars from lowest to highest" if bars else ""
    wrapped = [textwrap.fill(line, int(width * _PER_INCH)) for line in lines + _origin(record)]
    figure.suptitle("\n".join(wrapped), fontsize=10)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _origin(record: Record) -> list[str]:
    """What computed, and when, where and on what commit: a line for each file."""
    plan = record.plan
    how = "eager" if plan.engine_args.get("enforce_eager") else "each stack's own defaults"
    found = [f"simulated compute: {plan.simulated_title}"] if plan.simulated is not None else []
    for one in record.circumstances:
        commit = one["commit"][:10] + (" with changes" if "uncommitted" in one["commit"] else "")
        found.append(f"{one['date'][:10]}, commit {commit}, {one['machine']}, {how}")
    return list(dict.fromkeys(found))


def _kinds(plan: Plan) -> list[tuple[str, Lengths]]:
    return list(product(plan.models, plan.lengths))


def _panel_title(plan: Plan, model: str, lengths: Lengths) -> str:
    return f"{plan.model_title(model)}, {lengths.prompt} in / {lengths.answer} out"


def _legend(figure: Figure, axes: Axes, *, columns: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=9)
