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
    remaining_s: tuple[float, ...] = (),
    prefilling: float = 0,
    steps: float = 1,
) -> Situation:
    return Situation(jobs_ahead, cost_ahead, free_slots, remaining_s, prefilling, steps)


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
        assert forecast.first_token_s(situation(free_slots=1, steps=3)) == 0.75

    def test_lasts_until_the_first_of_the_running_ends(self, forecast: Forecast) -> None:
        full = situation(remaining_s=(1.0, 2.0, 3.0))
        assert forecast.first_token_s(full) == 1.0

    def test_lasts_longer_by_one_end_for_each_who_is_before(self, forecast: Forecast) -> None:
        full = situation(jobs_ahead=2, cost_ahead=50, remaining_s=(1.0, 2.0, 3.0))
        assert forecast.first_token_s(full) == 3.0

    def test_of_those_behind_all_that_run_goes_at_the_measured_pace(
        self, forecast: Forecast
    ) -> None:
        forecast.served(cost=1000, prompt_tokens=0, seconds=2.0)
        full = situation(jobs_ahead=4, cost_ahead=1000, remaining_s=(1.0, 3.0))
        assert forecast.first_token_s(full) == 3.0 + (2 / 4) * 1000 / 500

    def test_includes_the_prompts_that_are_taken_in_before(self, forecast: Forecast) -> None:
        forecast.served(cost=1000, prompt_tokens=1000, seconds=1.0)
        assert forecast.first_token_s(situation(free_slots=9, prefilling=500)) == 0.5

    def test_grows_when_waits_come_out_longer_than_predicted(self, forecast: Forecast) -> None:
        full = situation(remaining_s=(1.0,))
        for _ in range(100):
            predicted = forecast.first_token_s(full)
            forecast.settle(predicted, 1.5)
        assert forecast.first_token_s(full) == pytest.approx(1.5, rel=0.02)

    def test_is_corrected_by_no_more_than_a_factor_of_two(self, forecast: Forecast) -> None:
        full = situation(remaining_s=(1.0,))
        for _ in range(1000):
            forecast.settle(forecast.first_token_s(full), 100.0)
        assert forecast.first_token_s(full) == pytest.approx(2.0)


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


@given(
    st.floats(0, 1000),
    st.floats(0, 10**6),
    st.integers(0, 100),
    st.lists(st.floats(0, 100), max_size=20).map(sorted),
    st.lists(st.tuples(st.floats(0.02, 100), st.floats(0.02, 100)), max_size=20),
)
def test_more_ahead_never_shortens_the_wait(
    jobs: float,
    cost: float,
    free: int,
    remaining: list[float],
    outcomes: list[tuple[float, float]],
) -> None:
    forecast = Forecast()
    forecast.served(cost=100, prompt_tokens=50, seconds=1)
    for predicted, actual in outcomes:
        forecast.settle(predicted, actual)
    waits = [
        forecast.first_token_s(Situation(jobs + more, cost * (1 + more), free, remaining, more, 1))
        for more in (0, 1, 10)
    ]
    assert waits == sorted(waits)
