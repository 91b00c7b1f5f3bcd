import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from bench.client import LoadResult
from bench.measure import Run
from bench.processes import Cost, is_engine, label_of, rss_bytes, spent
from bench.report import process_table, ratio_table, ratios, stack_table, table
from bench.stacks import STACKS, Setup, flags
from bench.stats import Percentiles, median, percentile, ratio, to_json
from serve_app import config

NOTHING = Percentiles(math.nan, math.nan)
RESULT = LoadResult(
    requests=10,
    errors={},
    output_tokens=1000,
    events=1000,
    arrivals=1000,
    seconds=1.0,
    output_tok_s=1000.0,
    req_s=10.0,
    ttft_ms=Percentiles(5.0, 9.0),
    itl_ms=Percentiles(1.0, 2.0),
    e2e_ms=Percentiles(50.0, 90.0),
    client_cpu_s=0.1,
    client_cpu_share=0.1,
)


def run(stack: str, number: int, tok_s: float) -> Run:
    cpu_s = {"api": 0.2, "raylet": 0.1, "VLLM::EngineCore": 0.5}
    return Run(stack, number, replace(RESULT, output_tok_s=tok_s), cpu_s, 2**20, 0.0)


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


class TestPercentile:
    def test_of_one_value_is_that_value(self) -> None:
        assert percentile([3.0], 50) == percentile([3.0], 99) == 3.0

    def test_lies_between_its_neighbours(self) -> None:
        assert percentile([1.0, 2.0], 50) == 1.5
        assert percentile([0.0, 10.0, 20.0, 30.0, 40.0], 99) == pytest.approx(39.6)

    def test_ends_are_the_extremes(self) -> None:
        assert percentile([1.0, 2.0, 5.0], 0) == 1.0
        assert percentile([1.0, 2.0, 5.0], 100) == 5.0

    def test_of_nothing_is_not_a_number(self) -> None:
        assert math.isnan(percentile([], 50))

    def test_does_not_need_sorted_values_and_can_change_the_unit(self) -> None:
        assert Percentiles.of([0.003, 0.001, 0.002], 1e3).p50 == pytest.approx(2.0)


class TestRatio:
    def test_is_the_median_of_the_pairs_and_not_the_ratio_of_medians(self) -> None:
        found = ratio([(2.0, 1.0), (30.0, 10.0), (4.0, 4.0)])
        assert found is not None
        assert (found.median, found.low, found.high) == (2.0, 1.0, 3.0)

    def test_passes_over_pairs_without_figures(self) -> None:
        found = ratio([(2.0, 1.0), (math.nan, 1.0), (1.0, math.nan), (1.0, 0.0)])
        assert found is not None
        assert found.rounds == (2.0,)

    def test_of_no_pairs_is_none(self) -> None:
        assert ratio([]) is None


def test_a_median_passes_over_what_is_not_there() -> None:
    assert median([1.0, math.nan, 3.0]) == 2.0
    assert math.isnan(median([]))


def test_json_has_null_for_what_is_not_a_number() -> None:
    assert json.loads(to_json({"a": [math.nan, 1.0], "b": {"c": math.inf}})) == {
        "a": [None, 1.0],
        "b": {"c": None},
    }


def test_a_load_result_survives_json() -> None:
    result = replace(RESULT, errors={"no": 1})
    assert LoadResult.from_json(to_json(asdict(result))) == result
    unknown = LoadResult.from_json(to_json(asdict(replace(RESULT, itl_ms=NOTHING))))
    assert math.isnan(unknown.itl_ms.p99)


class TestCost:
    def test_per_token_is_split_into_engine_and_everything_else(self) -> None:
        assert run("a", 0, 1.0).serving_us_per_token == pytest.approx(300)
        assert run("a", 0, 1.0).engine_us_per_token == pytest.approx(500)

    def test_without_tokens_is_not_a_number(self) -> None:
        nothing = replace(run("a", 0, 0.0), load=replace(RESULT, output_tokens=0))
        assert math.isnan(nothing.serving_us_per_token)

    def test_is_what_was_used_between_the_samples_by_label(self) -> None:
        before = {(1, 0.0): Cost("api", 1.0, 5, 0), (2, 0.0): Cost("w", 2.0, 5, 1)}
        after = {(1, 0.0): Cost("api", 1.5, 5, 0), (2, 0.0): Cost("w", 2.25, 5, 1)}
        assert spent(before, after) == {"api": 0.5, "w": 0.25}

    def test_of_processes_of_one_label_adds_up(self) -> None:
        after = {(1, 0.0): Cost("w", 1.0, 5, 0), (2, 0.0): Cost("w", 2.0, 7, 0)}
        assert spent({}, after) == {"w": 3.0}
        assert rss_bytes(after) == 12

    def test_of_a_child_that_ended_counts_once_through_its_parent(self) -> None:
        before = {(1, 0.0): Cost("api", 1.0, 5, 0), (2, 0.0): Cost("w", 2.0, 5, 1)}
        after = {(1, 0.0): Cost("api", 1.5 + 2.25, 5, 0)}
        assert spent(before, after) == {"api": 0.75}

    def test_of_a_child_that_nobody_waited_for_takes_nothing_from_its_parent(self) -> None:
        before = {(1, 0.0): Cost("api", 1.0, 5, 0), (2, 0.0): Cost("w", 2.0, 5, 1)}
        assert spent(before, {(1, 0.0): Cost("api", 1.5, 5, 0)}) == {"api": 0.0}

    def test_of_a_pid_that_is_used_again_is_not_the_difference_of_two_processes(self) -> None:
        before = {(1, 0.0): Cost("api", 0.0, 5, 0), (2, 0.0): Cost("old", 9.0, 5, 7)}
        after = {(1, 0.0): Cost("api", 0.0, 5, 0), (2, 3.0): Cost("new", 1.0, 5, 1)}
        assert spent(before, after) == {"api": 0.0, "new": 1.0}


class TestLabel:
    @pytest.mark.parametrize(
        ("command", "label"),
        [
            (["VLLM::EngineCore", "", ""], "VLLM::EngineCore"),
            (["VLLM::Worker_TP0"], "VLLM::Worker_TP0"),
            (["ray::ServeReplica:sluice:router"], "ray::ServeReplica:sluice:router"),
            (["ray::ProxyActor.run (3 s)", ""], "ray::ProxyActor"),
            (["/venv/bin/python3.11", "-u", "-m", "serve_app", "--x"], "serve_app"),
            (["python", "-S", "-E", "/repo/deployments/reaper.py", "mark"], "reaper.py"),
            (["python", "-c", "from multiprocessing.spawn import x; x()"], "multiprocessing.spawn"),
            (["/ray/raylet", "--port=0"], "the name"),
            (["python"], "the name"),
            ([], "the name"),
        ],
    )
    def test_is_the_title_or_the_program(self, command: list[str], label: str) -> None:
        assert label_of(command, "the name") == label

    def test_of_an_engine_is_none_of_a_serving_process(self) -> None:
        assert is_engine("VLLM::EngineCore_DP0")
        assert is_engine("VLLM::Worker_TP1")
        assert not is_engine("VLLM::APIServer_0")
        assert not is_engine("ray::ServeReplica:sluice:engine-0")


class TestReport:
    RUNS = (run("a", 0, 100), run("b", 0, 150), run("a", 1, 100), run("b", 1, 250))

    def test_pairs_stacks_by_round(self) -> None:
        found = ratios(self.RUNS, "a")
        assert found["b"]["output tok/s"].rounds == (1.5, 2.5)
        row = ["b/a", "output", "tok/s", "2.000", "1.500", "2.500", "1.500", "2.500"]
        assert cells(ratio_table(found, "a"))[1] == row

    def test_leaves_out_rounds_that_the_baseline_missed(self) -> None:
        assert ratios(self.RUNS[1:], "a")["b"]["output tok/s"].rounds == (2.5,)

    def test_shows_the_median_of_each_stack(self) -> None:
        assert cells(stack_table(self.RUNS))[1] == ["output", "tok/s", "100.0", "200.0"]

    def test_shows_each_process_and_its_class_largest_first(self) -> None:
        assert cells(process_table(self.RUNS[:1]))[1:] == [
            ["a", "VLLM::EngineCore", "engine", "500.0"],
            ["a", "api", "serving", "200.0"],
            ["a", "raylet", "serving", "100.0"],
        ]

    def test_has_columns_as_wide_as_their_widest_cell(self) -> None:
        assert table([["a", "b"], ["long", "c"]]) == "a     b\nlong  c"


class TestStacks:
    def test_engine_arguments_become_vllm_s_flags(self) -> None:
        args = {"enforce_eager": True, "enable_x": False, "dtype": "auto", "n": 2, "none": None}
        assert flags(args) == ["--enforce-eager", "--no-enable-x", "--dtype", "auto", "--n", "2"]

    def test_another_executor_is_the_only_difference(self, tmp_path: Path) -> None:
        setup = Setup("m", tmp_path, {"enforce_eager": True})
        plain = STACKS["vllm"](setup, 1, tmp_path).command
        other = STACKS["vllm-uniproc"](setup, 1, tmp_path).command
        assert other[: len(plain)] == plain
        assert other[len(plain)] == "--distributed-executor-backend"

    def test_sluice_is_given_the_same_engine_arguments(self, tmp_path: Path) -> None:
        setup = Setup("m", tmp_path, {"enforce_eager": True, "max_model_len": 512})
        command = STACKS["sluice"](setup, 8123, tmp_path).command
        settings = config.load({"config": command[-1]})
        assert settings.http.port == 8123
        assert settings.models[0].name == "m"
        assert settings.models[0].engine_args == setup.engine_args
