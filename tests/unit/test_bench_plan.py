from dataclasses import replace
from itertools import chain

import pytest

from bench.options import parse
from bench.plan import STREAM, WHOLE, Cell, Lengths
from tests.unit.bench_runs import CELL, PLAN, SHORT

LONG = Lengths.parse("long")
MATRIX = replace(
    PLAN,
    stacks=("a", "b", "c"),
    models=("small", "90m"),
    lengths=(SHORT, LONG),
    concurrency=(1, 64, 256),
    modes=(STREAM, WHOLE),
    rounds=3,
)


class TestLengths:
    @pytest.mark.parametrize("text", ["short", "long", "7x9"])
    def test_are_written_as_they_are_read(self, text: str) -> None:
        assert str(Lengths.parse(text)) == text

    def test_of_a_name_are_the_same_as_in_numbers(self) -> None:
        assert Lengths.parse("64x64") == SHORT

    @pytest.mark.parametrize("text", ["medium", "64", "0x1", "1x2x3"])
    def test_that_are_none_are_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r".+"):
            Lengths.parse(text)


class TestOrder:
    def test_puts_each_stack_first_in_turn(self) -> None:
        orders = [MATRIX.order(number) for number in range(3)]
        assert orders == [("a", "b", "c"), ("b", "c", "a"), ("c", "a", "b")]

    def test_goes_round_when_there_are_more_rounds_than_stacks(self) -> None:
        assert MATRIX.order(3) == MATRIX.order(0)


class TestCells:
    def test_are_the_whole_matrix_each_once(self) -> None:
        assert len(MATRIX.cells()) == len(set(MATRIX.cells())) == 2 * 2 * 3 * 2

    def test_of_one_model_come_together(self) -> None:
        assert [cell.model for cell in MATRIX.cells()] == ["small"] * 12 + ["90m"] * 12

    def test_whose_processes_are_shown_are_streamed_at_64(self) -> None:
        shown = [cell for cell in MATRIX.cells() if MATRIX.is_headline(cell)]
        assert {(cell.concurrency, cell.stream) for cell in shown} == {(64, True)}

    def test_whose_processes_are_shown_are_the_largest_where_64_is_not(self) -> None:
        plan = replace(MATRIX, concurrency=(1, 16))
        assert {cell.concurrency for cell in plan.cells() if plan.is_headline(cell)} == {16}


class TestLoad:
    def test_has_prompts_of_its_own_in_every_cell_and_round(self) -> None:
        seeds = [MATRIX.load(cell, number).seed for cell in MATRIX.cells() for number in range(3)]
        warm_ups = [MATRIX.warm_up(model, n).seed for model in MATRIX.models for n in range(3)]
        every = list(chain(seeds, warm_ups))
        assert len(every) == len(set(every))

    def test_has_the_shape_of_its_cell(self) -> None:
        load = MATRIX.load(Cell("90m", LONG, 256, False), 0)
        assert (load.model, load.concurrency, load.stream) == ("90m", 256, False)
        assert (load.input_len, load.output_len) == (512, 256)

    def test_to_warm_up_has_no_more_users_than_requests(self) -> None:
        load = MATRIX.warm_up("small", 0)
        assert (load.num_requests, load.concurrency) == (64, 64)


class TestNumberOfRequests:
    def test_takes_about_the_wanted_seconds(self) -> None:
        assert PLAN.requests(CELL) == 448  # 6 s of 4,500 tok/s, in whole turns of 64 users
        assert replace(PLAN, seconds=60).requests(CELL) == 4224

    def test_is_at_least_one_for_each_user(self) -> None:
        assert PLAN.requests(Cell("90m", LONG, 256, True)) == 256

    def test_of_one_user_expects_a_tenth(self) -> None:
        assert PLAN.requests(Cell("small", SHORT, 1, True)) == 42

    def test_of_one_user_is_never_too_few_to_tell(self) -> None:
        brief = replace(PLAN, seconds=0.1)
        assert brief.requests(Cell("small", SHORT, 1, True)) == 8
        assert brief.requests(Cell("small", LONG, 1, True)) == 2

    def test_follows_what_is_expected_of_the_model_unless_that_is_given(self) -> None:
        assert PLAN.requests(Cell("90m", SHORT, 16, True)) == 96
        fast = replace(PLAN, expected_tok_s=10_000.0)
        assert fast.requests(Cell("90m", SHORT, 16, True)) == 944

    def test_may_be_given(self) -> None:
        assert replace(PLAN, num_requests=5).requests(CELL) == 5


class TestOptions:
    @pytest.fixture(autouse=True)
    def _no_model_is_made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bench.options._model", lambda name: (name, SHORT))

    def test_are_the_quick_preset_when_none_are_given(self) -> None:
        plan = parse([]).plan
        assert (plan.label, plan.stacks) == ("quick", ("vllm", "sluice"))
        assert plan.cells() == [CELL]
        assert plan.engine_args["enforce_eager"] is True

    def test_take_the_place_of_the_preset_s(self) -> None:
        plan = parse(["--preset", "full", "--stacks", "sluice,alone", "--lengths", "8x9"]).plan
        assert plan.stacks == ("sluice", "alone")
        assert plan.lengths == (Lengths(8, 9),)
        assert plan.concurrency == (1, 16, 64, 256)

    def test_of_the_environment_override_the_preset_s(self) -> None:
        name = "VLLM_CPU_KVCACHE_SPACE"
        assert parse(["--preset", "full"]).plan.environment == {name: "4"}
        args = ["--preset", "full", "--env", f"{name}=2", "--env", "A=b=c"]
        assert parse(args).plan.environment == {name: "2", "A": "b=c"}
        assert parse([]).plan.environment == {}

    def test_leave_compiling_to_the_stacks_where_asked(self) -> None:
        plan = parse(["--defaults"]).plan
        assert "enforce_eager" not in plan.engine_args
        assert plan.label == "quick-defaults"

    def test_of_the_engine_are_json_where_they_can_be(self) -> None:
        args = ["--engine-arg", "max_num_seqs=8", "--engine-arg", "dtype=float32"]
        found = parse(args).plan.engine_args
        assert (found["max_num_seqs"], found["dtype"]) == (8, "float32")

    def test_of_a_simulated_gpu_reach_the_engine_and_the_label(self) -> None:
        plan = parse(["--simulated", '{"gpu": "h200"}']).plan
        assert plan.simulated == {"gpu": "h200"}
        assert plan.engine_args["distributed_executor_backend"].endswith("SimulatedExecutor")
        assert plan.label == "quick-simulated"

    @pytest.mark.parametrize(
        "wrong",
        [
            ["--stacks", "nobody"],
            ["--concurrency", "0"],
            ["--lengths", "medium"],
            ["--mode", "half"],
            ["--simulated", "{}", "--stacks", "sluice-mp"],
        ],
    )
    def test_that_make_no_sense_end_the_program(
        self, wrong: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            parse(wrong)
        assert wrong[-1].split("-")[0] in capsys.readouterr().err
