"""When requests arrive that do not wait for each other: at a rate, or as a trace has it. Pure."""

import csv
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.plan import Lengths

AT, TOKENS_IN, TOKENS_OUT = "arrival_s", "tokens_in", "tokens_out"


@dataclass(frozen=True)
class Arrival:
    """One request, so many seconds after the start."""

    at: float
    lengths: Lengths | None = None
    """Where the trace has them."""


def poisson(
    level: Callable[[float], float], peak: float, seconds: float, draw: random.Random
) -> Iterator[Arrival]:
    """`level(t) * peak` a second, for so many seconds: a Poisson process, thinned.

    Several of them at once, each of a share of the peak, make one of the whole peak.
    """
    at = draw.expovariate(peak)
    while at < seconds:
        if draw.random() < level(at):
            yield Arrival(at)
        at += draw.expovariate(peak)


def read(path: Path) -> list[Arrival]:
    """A CSV file with the column `arrival_s` and perhaps `tokens_in` and `tokens_out`.

    Raises ValueError, or OSError.
    """
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        columns = set(reader.fieldnames or ())
        if AT not in columns:
            raise ValueError(f"{path} has no column {AT}")
        if len(columns & {TOKENS_IN, TOKENS_OUT}) == 1:
            raise ValueError(f"{path} has one of {TOKENS_IN} and {TOKENS_OUT} without the other")
        arrivals = [_arrival(row, f"{path}, line {reader.line_num}") for row in reader]
    if not arrivals:
        raise ValueError(f"{path} has no arrivals")
    return sorted(arrivals, key=lambda arrival: arrival.at)


def _arrival(row: dict[str, str], where: str) -> Arrival:
    try:
        at = float(row[AT])
        lengths = Lengths(int(row[TOKENS_IN]), int(row[TOKENS_OUT])) if TOKENS_IN in row else None
    except (ValueError, TypeError):
        raise ValueError(f"{where}: these are no numbers") from None
    if not 0 <= at < float("inf") or (lengths and min(lengths.prompt, lengths.answer) < 1):
        raise ValueError(f"{where}: a time below 0 or a length below 1")
    return Arrival(at, lengths)
