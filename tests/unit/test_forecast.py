"""How long a request would wait for its first token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.scheduling.forecast import Average, Forecast, Situation


def situation(
    *,
    jobs_ahead: float = 0,
    cost_ahead: float = 0,
    free_slots: int = 0,
    remaining: tuple[float, ...] = (),
    step_s: float = 1.0,
    output: float = 10,
    prefilling: float = 0,
    on_the_way: float = 0,
    prompts_ahead: float = 0,
    steps: float = 1,
) -> Situation:
    return Situation(
        jobs_ahead,
        cost_ahead,
        free_slots,
        remaining,
        step_s,
        output,
        prefilling,
        on_the_way,
        prompts_ahead,
        steps,
    )


@pytest.fixture
def forecast() -> Forecast:
    return Forecast()


class TestAverage:
    def test_begins_with_its_first_observation(self) -> None:
        average = Average(0.1)
        assert average.or_else(7) == 7
        average.add(20)
        assert average.or_else(7) == 20

    def test_moves_towards_what_it_observes(self) -> None:
        average = Average(0.5)
        for observed in (0.0, 8.0):
            average.add(observed)
        assert average.value == 4


class TestWait:
    def test_is_nothing_for_a_server_that_has_shown_nothing_yet(self, forecast: Forecast) -> None:
        assert forecast.first_token_s(situation(free_slots=1)) == 0

    def test_is_the_time_in_the_engine_while_a_slot_is_free(self, forecast: Forecast) -> None:
        forecast.began(0.5, steps=2)
        assert forecast.first_token_s(situation(free_slots=1, steps=3, step_s=0)) == 0.75

    def test_lasts_until_the_first_of_the_running_ends(self, forecast: Forecast) -> None:
        full = situation(remaining=(1.0, 2.0, 3.0))
        assert forecast.first_token_s(full) == 1.0

    def test_lasts_longer_by_one_end_for_each_who_is_before(self, forecast: Forecast) -> None:
        full = situation(jobs_ahead=2, cost_ahead=50, remaining=(1.0, 2.0, 3.0))
        assert forecast.first_token_s(full) == 3.0

    def test_of_those_behind_all_that_run_goes_at_the_measured_pace(
        self, forecast: Forecast
    ) -> None:
        forecast.served(cost=1000, prompt_tokens=0, seconds=2.0)
        full = situation(jobs_ahead=4, cost_ahead=1000, remaining=(1.0, 3.0))
        assert forecast.first_token_s(full) == 3.0 + (2 / 4) * 1000 / 500

    def test_grows_with_the_prompts_of_those_who_start_when_many_end_at_once(
        self, forecast: Forecast
    ) -> None:
        forecast.served(cost=100, prompt_tokens=100, seconds=1.0)
        wave = situation(jobs_ahead=3, cost_ahead=500, remaining=(5.0,) * 10, prompts_ahead=300)
        assert forecast.first_token_s(wave) == 5.0 + 3 * 1.0

    def test_hardly_grows_with_them_when_one_ends_after_the_other(self, forecast: Forecast) -> None:
        forecast.served(cost=100, prompt_tokens=1000, seconds=1.0)
        spread = situation(
            jobs_ahead=3, cost_ahead=500, remaining=(1.0, 2.0, 3.0, 4.0), prompts_ahead=300
        )
        assert forecast.first_token_s(spread) == 4.0

    def test_is_told_in_steps_as_they_are_when_all_slots_are_taken(
        self, forecast: Forecast
    ) -> None:
        forecast.paced(running=8, tokens=4, seconds=0.25)
        assert forecast.first_token_s(situation(remaining=(4.0, 9.0), step_s=0.1)) == 4 * 0.5

    def test_counts_those_who_will_take_the_slots_that_are_free_yet(
        self, forecast: Forecast
    ) -> None:
        burst = situation(
            jobs_ahead=5, cost_ahead=100, free_slots=3, remaining=(2.0, 7.0), output=10
        )
        assert forecast.first_token_s(burst) == 10.0

    def test_includes_the_prompts_that_are_taken_in_before(self, forecast: Forecast) -> None:
        forecast.served(cost=1000, prompt_tokens=1000, seconds=1.0)
        assert forecast.first_token_s(situation(free_slots=9, prefilling=500)) == 0.5

    def test_in_the_engine_is_by_its_steps_where_those_are_short_now(
        self, forecast: Forecast
    ) -> None:
        forecast.began(9.0, steps=1)
        assert forecast.first_token_s(situation(free_slots=1, step_s=0.2)) == pytest.approx(0.3)


class TestTheLeastTime:
    def test_in_an_engine_is_the_shortest_seen(self, forecast: Forecast) -> None:
        for seconds in (3.0, 0.5, 9.0):
            forecast.began(seconds, steps=1)
        assert forecast.least_in_engine_s(steps=2) == pytest.approx(1.0, rel=0.01)

    def test_is_forgotten_when_nothing_is_as_short_any_more(self, forecast: Forecast) -> None:
        for seconds in (0.5, *[3.0] * 5000):
            forecast.began(seconds, steps=1)
        assert forecast.least_in_engine_s(steps=1) == 3.0


class TestError:
    def test_is_how_far_predictions_are_off_on_average(self, forecast: Forecast) -> None:
        forecast.settle(predicted_s=1.0, actual_s=3.0)
        assert forecast.error_s.value == 2.0


class TestAnswers:
    def test_are_expected_to_be_as_long_as_they_may_at_first(self, forecast: Forecast) -> None:
        assert forecast.output_tokens(64) == 64

    def test_are_expected_to_be_as_long_as_others_were(self, forecast: Forecast) -> None:
        forecast.ended(10)
        assert forecast.output_tokens(64) == 10
        assert forecast.output_tokens(4) == 4

    def test_that_may_have_no_token_have_none(self, forecast: Forecast) -> None:
        forecast.ended(10)
        assert forecast.output_tokens(0) == 0


def test_half_of_what_runs_has_ended_when_its_middle_has(forecast: Forecast) -> None:
    assert forecast.half_done_s([1.0, 4.0, 9.0], step_s=0.5) == 2.0
    assert forecast.half_done_s([], step_s=0.5) == 0.0


@given(
    st.floats(0, 1000),
    st.floats(0, 10**6),
    st.integers(0, 100),
    st.lists(st.floats(0, 100), max_size=20).map(sorted),
)
def test_more_ahead_never_shortens_the_wait(
    jobs: float, cost: float, free: int, remaining: list[float]
) -> None:
    forecast = Forecast()
    forecast.served(cost=100, prompt_tokens=50, seconds=1)
    waits = [
        forecast.first_token_s(
            situation(
                jobs_ahead=jobs + more,
                cost_ahead=cost * (1 + more),
                free_slots=free,
                remaining=tuple(remaining),
                prefilling=more,
                prompts_ahead=more,
            )
        )
        for more in (0, 1, 10)
    ]
    assert waits == sorted(waits)
