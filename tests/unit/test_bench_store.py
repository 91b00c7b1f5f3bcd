import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from bench import report
from bench.plan import Plan
from bench.store import CannotRead, Entry, Failure, Journal, read
from bench.summary import METRICS, ratio_of
from tests.unit.bench_runs import CELL, CIRCUMSTANCES, NOTHING, PLAN, run, yardstick

FAILURE = Failure("b", "small", 1, "no such file")


def stored(path: Path, *entries: Entry, plan: Plan = PLAN) -> Path:
    journal = Journal(path, CIRCUMSTANCES, plan)
    for entry in entries:
        journal.add(entry)
    return path


def test_what_is_stored_is_read_again(tmp_path: Path) -> None:
    entries = (run("a", 0, 100.0), yardstick("a", 0, 99.0), FAILURE)
    found = read([stored(tmp_path / "x.jsonl", *entries)])
    assert (*found.runs, *found.yardsticks, *found.failures) == entries
    assert (found.plan, found.circumstances) == (PLAN, [CIRCUMSTANCES])


def test_figures_that_are_not_there_stay_so(tmp_path: Path) -> None:
    (found,) = read([stored(tmp_path / "x", run("a", 0, 1.0, itl_ms=NOTHING))]).runs
    assert math.isnan(found.load.itl_ms.p99)


def test_each_run_is_in_the_file_as_it_ends(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "results" / "x.jsonl", CIRCUMSTANCES, PLAN)
    for number in range(2):
        journal.add(run("a", number, 1.0))
        assert len(read([tmp_path / "results" / "x.jsonl"]).runs) == number + 1


def test_several_files_are_one_comparison_with_the_rounds_of_all(tmp_path: Path) -> None:
    one = stored(tmp_path / "1", run("a", 0, 100.0), run("b", 0, 150.0))
    other = stored(tmp_path / "2", run("a", 0, 10.0), run("b", 0, 30.0), FAILURE)
    found = read([one, other])
    assert found.plan.rounds == 4
    assert found.failures[0].round == 3
    ratio = ratio_of(found, "b", CELL, METRICS["output tok/s"])
    assert ratio is not None
    assert ratio.rounds == (1.5, 3.0)


def test_files_with_other_stacks_and_loads_add_them(tmp_path: Path) -> None:
    plan = replace(PLAN, stacks=("a", "c"), concurrency=(1,))
    found = read([stored(tmp_path / "1"), stored(tmp_path / "2", plan=plan)])
    assert (found.plan.stacks, found.plan.concurrency) == (("a", "b", "c"), (64, 1))


@pytest.mark.parametrize(
    "plan",
    [
        replace(PLAN, engine_args={}),
        replace(PLAN, environment={"A": "1"}),
        replace(PLAN, stacks=("b", "a")),
    ],
)
def test_files_that_do_not_compare_are_refused(tmp_path: Path, plan: Plan) -> None:
    with pytest.raises(CannotRead):
        read([stored(tmp_path / "1"), stored(tmp_path / "2", plan=plan)])


@pytest.mark.parametrize("text", ["", "{}", "no json", '{"plan": 1, "circumstances": 2}'])
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(CannotRead, match="is no record of a comparison"):
        read([tmp_path / "x"])


@pytest.mark.parametrize(
    ("entry", "good"),
    [
        (run("a", 0, 1.0), True),
        (run("a", 0, 1.0, errors={"no": 1}), False),
        (FAILURE, False),
        (replace(yardstick("a", 0, 1.0), failed=1), False),
    ],
)
def test_a_record_is_good_when_nothing_failed(tmp_path: Path, entry: Entry, good: bool) -> None:
    assert read([stored(tmp_path / "x", entry)]).good is good


def test_a_report_of_stored_runs_is_tables_and_a_line_of_json_and_plots(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = stored(tmp_path / "x.jsonl", run("a", 0, 100.0), run("b", 0, 150.0))
    report.main([str(file)])
    lines = capsys.readouterr().out.splitlines()
    assert "commit: c0ffee" in lines
    assert json.loads(lines[-1])["circumstances"] == [CIRCUMSTANCES]
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "x-throughput.png",
        "x-latency.png",
        "x-cpu.png",
    }
