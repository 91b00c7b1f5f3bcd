import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench import plots, report
from bench.plan import STREAM, WHOLE, Cell
from bench.report import render
from bench.stats import to_json
from bench.store import Failure
from bench.summary import METRICS, difference_of, processes, ratio_of, summarize
from bench.table import table
from tests.unit.bench_runs import CELL, NOTHING, PLAN, RESULT, SHORT, record, run, yardstick

RUNS = (run("a", 0, 100), run("b", 0, 150), run("a", 1, 100), run("b", 1, 250))
RATE = METRICS["output tok/s"]


def rows(text: str, *beginning: str) -> list[list[str]]:
    """The cells of the lines that begin with these."""
    lines = [line.split() for line in text.splitlines()]
    return [line for line in lines if line[: len(beginning)] == list(beginning)]


class TestRatio:
    def test_pairs_stacks_by_round(self) -> None:
        found = ratio_of(record(RUNS), "b", CELL, RATE)
        assert found is not None
        assert found.rounds == (1.5, 2.5)

    def test_leaves_out_rounds_that_the_base_missed(self) -> None:
        found = ratio_of(record(RUNS[1:]), "b", CELL, RATE)
        assert found is not None
        assert found.rounds == (2.5,)

    def test_does_not_pair_different_loads(self) -> None:
        other = Cell("small", SHORT, 1, True)
        runs = [run("a", 0, 100, other), run("b", 0, 150)]
        assert ratio_of(record(runs), "b", CELL, RATE) is None

    def test_goes_with_a_difference(self) -> None:
        found = difference_of(record(RUNS), "b", CELL, RATE)
        assert found is not None
        assert found.rounds == (50.0, 150.0)


class TestTables:
    def test_show_the_median_and_the_extremes_of_each_stack(self) -> None:
        text = render(record(RUNS))
        (row,) = rows(text, "64", "b")
        assert row[2:4] == ["200.0", "150-250"]
        assert row[-2:] == ["0", "2/2"]

    def test_show_the_ratio_to_the_first_stack(self) -> None:
        (row,) = rows(render(record(RUNS)), "64", "b/a")
        assert row[2:6] == ["2.00", "(1.50", "to", "2.50)"]
        assert row[-2:] == ["1.500", "2.500"]

    def test_show_every_round_of_every_metric_when_asked(self) -> None:
        text = render(record(RUNS), verbose=True)
        found = rows(text, "64", "b/a", "output", "tok/s")
        assert found == [
            ["64", "b/a", "output", "tok/s", "2.000", "1.500", "2.500", "1.500", "2.500"]
        ]

    def test_show_each_process_and_its_class_largest_first(self) -> None:
        text = render(record(RUNS[:1]))
        assert [row for row in rows(text, "a") if len(row) == 4] == [
            ["a", "VLLM::EngineCore", "engine", "500.0"],
            ["a", "api", "serving", "200.0"],
            ["a", "raylet", "serving", "100.0"],
        ]

    def test_are_one_for_each_way_to_answer(self) -> None:
        text = render(record(RUNS, replace(PLAN, modes=(STREAM, WHOLE))))
        assert "== small: 64 tokens in, 64 out, streaming ==" in text
        assert "== small: 64 tokens in, 64 out, whole answers ==" in text

    def test_do_not_leave_out_a_stack_that_never_started(self) -> None:
        found = record(RUNS[:1])
        found.add(Failure("b", "small", 0, "no such file"))
        text = render(found)
        assert rows(text, "64", "b")[0][-1] == "0/2"
        assert "b FAILED (small, round 1): no such file" in text

    def test_say_which_requests_came_to_nothing(self) -> None:
        text = render(record([run("a", 0, 1.0, errors={"503": 2})]))
        assert rows(text, "64", "a")[0][-2] == "2"
        assert "a, small short streaming, 64 users, round 1: 2 x 503" in text

    def test_show_the_yardstick_beside_our_client(self) -> None:
        found = record(RUNS, replace(PLAN, yardstick=True))
        found.add(yardstick("a", 0, 99.0))
        text = render(found)
        assert rows(text, "ours", "a")[0][2] == "100.0"
        assert rows(text, "vllm", "bench", "serve", "a")[0][4] == "99.0"

    def test_name_simulated_compute(self) -> None:
        config = {"additional_config": {"simulated": {"gpu": "h200", "model": "llama"}}}
        text = render(record(RUNS, replace(PLAN, engine_args=config)))
        assert "SIMULATED COMPUTE, not this machine's: h200, llama" in text
        assert "== simulated h200, llama: 64 tokens in" in text

    def test_name_the_stack_whose_client_is_inside(self) -> None:
        inside = [replace(run("b", 0, 1.0), client_is_inside=True)]
        assert "the client is inside b" in render(record(inside))

    def test_have_columns_as_wide_as_their_widest_cell(self) -> None:
        assert table([["a", "b"], ["long", "c"]]) == "a     b\nlong  c"


def test_processes_cost_the_median_of_the_rounds() -> None:
    more = replace(RUNS[0], cpu_s={"api": 0.4})
    assert processes([RUNS[0], more])["api"] == pytest.approx(300)


def test_a_summary_has_every_stack_and_cell_as_json() -> None:
    summary = json.loads(to_json(summarize(record(RUNS[1::2]))))
    assert [(one["stack"], one["rounds"]) for one in summary["results"]] == [("a", 0), ("b", 2)]
    assert summary["results"][1]["figures"]["output tok/s"]["median"] == 200.0


class TestPlots:
    def test_are_files_of_every_kind_that_there_are_runs_for(self, tmp_path: Path) -> None:
        paths = plots.draw(record(RUNS), tmp_path / "name")
        assert {path.name for path in paths} == {
            "name-throughput.png",
            "name-latency.png",
            "name-cpu.png",
        }
        assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)

    def test_of_whole_answers_have_no_latencies(self, tmp_path: Path) -> None:
        cell = replace(CELL, stream=False)
        found = record([run("a", 0, 1.0, cell)], replace(PLAN, modes=(WHOLE,)))
        assert [path.name for path in plots.draw(found, tmp_path / "n")] == [
            "n-throughput-whole.png"
        ]

    def test_can_be_drawn_where_a_stack_or_a_token_is_missing(self, tmp_path: Path) -> None:
        nothing = run("b", 0, 0.0, output_tokens=0)
        assert plots.draw(record([run("a", 0, 1.0), nothing]), tmp_path / "n")
        assert plots.draw(record([nothing]), tmp_path / "n")

    def test_can_be_drawn_where_every_answer_came_in_one_piece(self, tmp_path: Path) -> None:
        assert plots.draw(record([run("a", 0, 1.0, itl_ms=NOTHING)]), tmp_path / "n")

    def test_of_nothing_are_none(self, tmp_path: Path) -> None:
        assert plots.draw(record([]), tmp_path / "n") == []


def test_a_file_that_is_no_record_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(to_json({"requests": RESULT.requests}))
    with pytest.raises(SystemExit, match="is no record of a comparison"):
        report.main([str(file)])
    assert capsys.readouterr().out == ""
