"""What an overload came to: tables, bars and a picture."""

import argparse
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from bench.judgement.drain import Drained
from bench.judgement.goodput import Again, Figures, Foresight, foresight, told_over_true
from bench.notebook import Bar, Notebook, figure
from bench.plots import COLOURS
from bench.stats import median, percentile
from bench.table import table

_RESOLUTION = 3  # probes apart that a true wait has to be, to be known well enough
_LEAST_OF_PEAK = 0.95
_FACTOR = 2.0
_OURS = "sluice"


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What one stack showed in one round."""

    stack: str
    round: int
    capacity_req_s: float
    by_rate: dict[float, Figures]
    """By multiple of the capacity."""
    foreseen: list[tuple[float, float]]
    """Predicted and actual wait for the first token, in milliseconds."""
    again: Again | None
    drained: list[Drained]


def ratios(drained: Sequence[Drained]) -> list[float]:
    """What was told over what was true, of every probe, ascending."""
    return sorted(found for one in drained for found in told_over_true(one.probes, _RESOLUTION))


def report(book: Notebook, options: argparse.Namespace, visits: Sequence[Visit]) -> int:
    """Print and store everything; returns the exit status."""
    blocks = [_title(options), _rates(options, visits)]
    found: dict[str, Any] = {"stacks": {}}
    bars = [Bar("requests lost", _lost(visits), most=0)]
    for stack in options.stacks:
        mine = [visit for visit in visits if visit.stack == stack]
        goodput = _goodput(options, mine, lambda one: one.goodput_tok_s)
        found["stacks"][stack] = {
            "capacity_req_s": [visit.capacity_req_s for visit in mine],
            "goodput_tok_s": goodput,
            "strict_tok_s": _goodput(options, mine, lambda one: one.strict_tok_s),
            "last_of_peak": last_of_peak(goodput),
        }
        blocks.append(
            f"{stack}: capacity {' '.join(figure(visit.capacity_req_s) for visit in mine)} "
            f"requests/s by round; goodput at {max(goodput):g}x is "
            f"{100 * last_of_peak(goodput):.0f} % of its peak"
        )
        if stack.startswith(_OURS):
            bars += _bars(stack, goodput, mine)
            blocks.append(_judgement(stack, mine))
            found["stacks"][stack] |= {
                "foresight": asdict(_foresight(mine)),
                "again": [asdict(visit.again) for visit in mine if visit.again is not None],
                "told_over_true": ratios([one for visit in mine for one in visit.drained]),
            }
    return book.end(blocks, bars, found, draw(options, visits))


def last_of_peak(goodput: dict[float, float]) -> float:
    """The goodput at the highest rate over the highest goodput; NaN when there is none."""
    peak = max(goodput.values())
    return goodput[max(goodput)] / peak if peak else float("nan")


def _title(options: argparse.Namespace) -> str:
    return (
        f"== {options.model}: {options.input_len} tokens in, {options.output_len} out, first token "
        f"within {options.deadline_s:g} s; strict: and {options.tpot_ms:g} ms for each other ==\n"
        f"Poisson arrivals for {options.seconds:g} s, the first {options.ramp:g} s not counted; "
        "medians of rounds, counts are sums"
    )


_Count = Callable[[Figures], int]
_Figure = Callable[[Figures], float]
_COUNTS: Mapping[str, _Count] = {
    "sent": lambda one: one.sent,
    "answered": lambda one: one.answered,
    "overloaded": lambda one: one.refused.get("overloaded", 0),
    "deadline exceeded": lambda one: one.refused.get("deadline_exceeded", 0),
    "lost": lambda one: sum(one.lost.values()),
    "late": lambda one: one.late,
}
_FIGURES: Mapping[str, _Figure] = {
    "tok/s": lambda one: one.tok_s,
    "goodput": lambda one: one.goodput_tok_s,
    "strict": lambda one: one.strict_tok_s,
    "TTFT p50 ms": lambda one: one.ttft_ms.p50,
    "TTFT p99 ms": lambda one: one.ttft_ms.p99,
    "late by up to ms": lambda one: one.latest_ms,
    "generator's lag p99 ms": lambda one: one.lag_p99_ms,
}


def _rates(options: argparse.Namespace, visits: Sequence[Visit]) -> str:
    rows = [["x capacity", "stack", *_COUNTS, *_FIGURES]]
    for multiple in options.multiples:
        for stack in options.stacks:
            ones = [visit.by_rate[multiple] for visit in visits if visit.stack == stack]
            counts = [str(sum(map(count, ones))) for count in _COUNTS.values()]
            values = [figure(median(map(metric, ones))) for metric in _FIGURES.values()]
            rows.append([f"{multiple:g}", stack, *counts, *values])
    return table(rows)


def _judgement(stack: str, visits: Sequence[Visit]) -> str:
    seen = _foresight(visits)
    came_back = [visit.again for visit in visits if visit.again is not None]
    told = ratios([one for visit in visits for one in visit.drained])
    sent, admitted, refused = (
        sum(getattr(one, name) for one in came_back) for name in ("sent", "admitted", "refused")
    )
    waits = (
        f"predicted less actual wait for the first token, of {seen.count}: "
        f"p10 {figure(seen.error_p10_ms)}, p50 {figure(seen.error_p50_ms)}, "
        f"p90 {figure(seen.error_p90_ms)} ms; off by {figure(seen.absolute_p50_ms)} ms (median)"
    )
    backs = (
        f"refused requests sent again when told to: {sent}, "
        f"let in {admitted}, refused again {refused}"
    )
    tolds = f"Retry-After told over true, of {len(told)} probes of draining queues: " + ", ".join(
        f"p{percent} {figure(percentile(told, percent))}" for percent in (10, 50, 90)
    )
    return "\n".join(f"{stack}: {line}" for line in (waits, backs, tolds))


def _bars(stack: str, goodput: dict[float, float], visits: Sequence[Visit]) -> list[Bar]:
    late = sum(one.late for visit in visits for one in visit.by_rate.values())
    told = ratios([one for visit in visits for one in visit.drained])
    name = f"{stack}: goodput at {max(goodput):g}x over its peak"
    return [
        Bar(name, last_of_peak(goodput), least=_LEAST_OF_PEAK),
        Bar(f"{stack}: first tokens after their deadline", late, most=0),
        Bar(
            f"{stack}: Retry-After told over true, median",
            percentile(told, 50),
            least=1 / _FACTOR,
            most=_FACTOR,
        ),
    ]


def _goodput(
    options: argparse.Namespace, visits: Sequence[Visit], metric: _Figure
) -> dict[float, float]:
    """By multiple, the median over the rounds."""
    return {
        multiple: statistics.median(metric(visit.by_rate[multiple]) for visit in visits)
        for multiple in options.multiples
    }


def _lost(visits: Sequence[Visit]) -> int:
    rates = sum(sum(one.lost.values()) for visit in visits for one in visit.by_rate.values())
    drains = sum(one.lost for visit in visits for one in visit.drained)
    return rates + drains + sum(visit.again.lost for visit in visits if visit.again is not None)


def _foresight(visits: Sequence[Visit]) -> Foresight:
    return foresight([point for visit in visits for point in visit.foreseen])


def draw(options: argparse.Namespace, visits: Sequence[Visit]) -> Picture:
    """Goodput against rate, and predicted against actual wait."""
    picture = Picture(figsize=(11, 4.6), layout="constrained")
    rates, waits = picture.subplots(1, 2)
    _draw_rates(rates, options, visits)
    _draw_waits(waits, [point for visit in visits for point in visit.foreseen])
    return picture


def _draw_rates(axes: Axes, options: argparse.Namespace, visits: Sequence[Visit]) -> None:
    for stack in options.stacks:
        mine = [visit for visit in visits if visit.stack == stack]
        for style, label, metric in (
            ("-", stack, lambda one: one.goodput_tok_s),
            (":", f"{stack}, strict", lambda one: one.strict_tok_s),
        ):
            found = _goodput(options, mine, metric)
            colour = COLOURS.get(stack, "black")
            axes.plot(
                list(found), list(found.values()), style, label=label, color=colour, marker="o"
            )
    axes.set_xlabel("arrivals (times the stack's own capacity)")
    axes.set_ylabel("goodput (output tokens/s)")
    axes.set_ylim(bottom=0)
    axes.set_title(f"first token within {options.deadline_s:g} s", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9)


def _draw_waits(axes: Axes, found: Sequence[tuple[float, float]]) -> None:
    predicted = [one for one, _ in found]
    actual = [other for _, other in found]
    longest = max([*predicted, *actual], default=1.0)
    axes.plot([0, longest], [0, longest], color="black", linewidth=1)
    axes.scatter(predicted, actual, s=6, alpha=0.35, color=COLOURS[_OURS], linewidths=0)
    axes.set_xlabel("predicted wait for the first token (ms)")
    axes.set_ylabel("actual wait (ms)")
    axes.set_title(f"{_OURS}: {len(found)} requests, every rate", fontsize=10)
    axes.grid(alpha=0.3)
