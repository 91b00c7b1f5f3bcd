"""What a comparison found, in a file: a line for the plan, then one for each run as it ends."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bench.measure import Run
from bench.plan import Plan
from bench.stats import to_json
from bench.yardstick import Yardstick

_T = TypeVar("_T")


class CannotRead(Exception):
    """A file is none of ours, or the files do not go together."""


@dataclass(frozen=True)
class Failure:
    """A stack that did not start or did not go on."""

    stack: str
    model: str
    round: int
    why: str


Entry = Run | Yardstick | Failure


@dataclass
class Record:
    """A comparison, finished or not."""

    circumstances: list[Mapping[str, str]]
    """One for each file."""
    plan: Plan
    runs: list[Run] = field(default_factory=list)
    yardsticks: list[Yardstick] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing failed, not even a request."""
        failed = any(run.load.errors for run in self.runs)
        return not (failed or self.failures or any(found.failed for found in self.yardsticks))

    def add(self, entry: Entry) -> None:
        if isinstance(entry, Run):
            self.runs.append(entry)
        elif isinstance(entry, Yardstick):
            self.yardsticks.append(entry)
        else:
            self.failures.append(entry)


class Journal:
    """A record that is in its file as soon as anything is added to it."""

    def __init__(self, path: Path, circumstances: Mapping[str, str], plan: Plan) -> None:
        self.record = Record([circumstances], plan)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._append({"circumstances": circumstances, "plan": asdict(plan)})

    def add(self, entry: Entry) -> None:
        self.record.add(entry)
        self._append({type(entry).__name__.lower(): asdict(entry)})

    def _append(self, line: Mapping[str, Any]) -> None:
        with self._path.open("a") as file:
            print(to_json(line), file=file)


def read(paths: Sequence[Path]) -> Record:
    """The files' comparisons as one, each file's rounds after those before. Raises CannotRead."""
    first, *others = map(_read_one, paths)
    for other in others:
        _merge(first, other)
    return first


def _read_one(path: Path) -> Record:
    lines = path.read_text().splitlines()
    try:
        head = json.loads(lines[0])
        record = Record([head["circumstances"]], msgspec.convert(head["plan"], Plan))
        for line in lines[1:]:
            ((kind, fields),) = json.loads(line).items()
            record.add(_entry(kind, fields))
    except (IndexError, KeyError, TypeError, ValueError, msgspec.ValidationError) as exc:
        raise CannotRead(f"{path} is no record of a comparison: {exc!r}") from exc
    return record


def _entry(kind: str, fields: Mapping[str, Any]) -> Entry:
    if kind == "run":
        return Run.from_dict(fields)
    of_kind: Mapping[str, type[Yardstick | Failure]] = {"yardstick": Yardstick, "failure": Failure}
    return msgspec.convert(fields, of_kind[kind])


def _merge(one: Record, other: Record) -> None:
    for what in ("engine_args", "environment"):
        if getattr(one.plan, what) != getattr(other.plan, what):
            raise CannotRead(f"the files differ in {what}, so their figures do not compare")
    if one.plan.stacks[0] != other.plan.stacks[0]:
        raise CannotRead("the files' ratios are to different stacks")
    later = one.plan.rounds
    entries: list[Entry] = [*other.runs, *other.yardsticks, *other.failures]
    for entry in entries:
        one.add(replace(entry, round=entry.round + later))
    one.circumstances += other.circumstances
    one.plan = replace(
        one.plan,
        rounds=later + other.plan.rounds,
        stacks=_union(one.plan.stacks, other.plan.stacks),
        models=_union(one.plan.models, other.plan.models),
        lengths=_union(one.plan.lengths, other.plan.lengths),
        concurrency=_union(one.plan.concurrency, other.plan.concurrency),
        modes=_union(one.plan.modes, other.plan.modes),
        yardstick=one.plan.yardstick or other.plan.yardstick,
    )


def _union(some: tuple[_T, ...], others: tuple[_T, ...]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys((*some, *others)))
