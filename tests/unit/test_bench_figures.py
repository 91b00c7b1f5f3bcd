import json
import math
from dataclasses import asdict, replace

import pytest

from bench.client import LoadResult
from bench.processes import Cost, is_engine, label_of, rss_bytes, spent
from bench.stats import Percentiles, Spread, difference, median, percentile, ratio, to_json
from tests.unit.bench_runs import NOTHING, RESULT, run


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
        assert difference([]) is None


def test_a_difference_is_taken_pair_by_pair() -> None:
    pairs = [(3.0, 1.0), (10.0, 10.0), (math.nan, 1.0)]
    assert difference(pairs) == Spread(1.0, 0.0, 2.0, (2.0, 0.0))


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
        nothing = run("a", 0, 0.0, output_tokens=0)
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
