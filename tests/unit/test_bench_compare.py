import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from bench.client import Load, LoadResult
from bench.compare import Comparison, free_name
from bench.driving import ClientFailed
from bench.plan import STREAM, Plan
from bench.processes import Tree
from bench.stacks import Setup, StackFailed
from bench.store import Journal
from tests.unit.bench_runs import CIRCUMSTANCES, PLAN, RESULT


@dataclass
class FakeServer:
    """Answers any load at once."""

    name: str
    asked: list[Load]
    breaks: bool
    ready_after_s: float = 0.0
    url: str | None = None
    leftovers: list[str] = field(default_factory=list)
    tree: Tree = field(default_factory=lambda: Tree("nobody's mark"))

    def run(self, load: Load, tick: Callable[[], None] = lambda: None) -> LoadResult:
        self.asked.append(load)
        if self.breaks and load.seed == 0:
            raise ClientFailed("no result")
        tick()
        return RESULT


@dataclass
class FakeStacks:
    """Stacks of any name, and what was done to them."""

    absent: str = ""
    breaking: str = ""
    up: list[str] = field(default_factory=list)
    started: list[tuple[str, str]] = field(default_factory=list)
    asked: dict[str, list[Load]] = field(default_factory=dict)

    @contextlib.contextmanager
    def running(self, name: str, setup: Setup, _: Path) -> Iterator[FakeServer]:
        assert not self.up, "one stack is up at a time"
        if name == self.absent:
            raise StackFailed("not installed")
        self.started.append((setup.model, name))
        self.up.append(name)
        try:
            yield FakeServer(name, self.asked.setdefault(name, []), name == self.breaking)
        finally:
            self.up.remove(name)


def compared(tmp_path: Path, plan: Plan, stacks: FakeStacks) -> Journal:
    journal = Journal(tmp_path / "x.jsonl", CIRCUMSTANCES, plan)
    models = dict.fromkeys(plan.models, tmp_path)
    Comparison(plan, models, journal, tmp_path, cast(Any, stacks.running)).run()
    return journal


def test_stacks_take_turns_in_every_round_of_every_model(tmp_path: Path) -> None:
    stacks = FakeStacks()
    compared(tmp_path, replace(PLAN, models=("small", "90m")), stacks)
    turns = ["a", "b", "b", "a"]
    assert stacks.started == [(model, name) for model in ("small", "90m") for name in turns]


def test_every_stack_is_given_the_same_loads(tmp_path: Path) -> None:
    stacks = FakeStacks()
    journal = compared(tmp_path, replace(PLAN, concurrency=(1, 64), modes=(STREAM,)), stacks)
    assert stacks.asked["a"] == stacks.asked["b"]
    assert len(stacks.asked["a"]) == 2 * (1 + 2)  # rounds of a warm-up and two cells
    assert len(journal.record.runs) == 2 * 2 * 2


def test_a_stack_that_does_not_start_is_noted_and_the_others_go_on(tmp_path: Path) -> None:
    record = compared(tmp_path, PLAN, FakeStacks(absent="a")).record
    assert {(one.stack, one.round, one.why) for one in record.failures} == {
        ("a", 0, "not installed"),
        ("a", 1, "not installed"),
    }
    assert [run.stack for run in record.runs] == ["b", "b"]
    assert not record.good


def test_a_load_that_fails_does_not_take_the_stack_s_others_with_it(tmp_path: Path) -> None:
    plan = replace(PLAN, concurrency=(1, 64), rounds=1)
    record = compared(tmp_path, plan, FakeStacks(breaking="a")).record
    assert [(one.stack, one.why) for one in record.failures] == [("a", "no result")]
    assert [(run.stack, run.cell.concurrency) for run in record.runs] == [
        ("a", 64),
        ("b", 1),
        ("b", 64),
    ]


@pytest.mark.parametrize(
    ("taken", "free"), [([], "name"), (["name"], "name-2"), (["name", "name-2"], "name-3")]
)
def test_results_of_one_day_do_not_overwrite_each_other(
    tmp_path: Path, taken: list[str], free: str
) -> None:
    for name in taken:
        (tmp_path / f"{name}.jsonl").touch()
    assert free_name(tmp_path, "name") == tmp_path / free
