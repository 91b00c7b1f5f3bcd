"""How much work arrives, and how much is going to."""

import pytest

from deployments.scheduling.demand import FAST_S, MOST_GROWTH, SLOW_S, Demand, smoothed


def after(demand: Demand, rates: list[float], seconds: float = 1.0) -> Demand:
    for rate in rates:
        demand = demand.after(rate, seconds)
    return demand


class TestAverage:
    def test_moves_by_time_and_not_by_how_often_it_is_asked(self) -> None:
        often = smoothed(smoothed(0, 10, 1, 5), 10, 1, 5)
        assert often == pytest.approx(smoothed(0, 10, 2, 5))

    def test_stays_where_no_time_has_passed(self) -> None:
        assert smoothed(3, 10, 0, 5) == 3


class TestDemand:
    def test_of_a_constant_load_is_that_load_now_and_later(self) -> None:
        demand = after(Demand(40, 40), [40.0] * 100)
        assert demand.ahead(60) == pytest.approx(40)
        assert demand.high == pytest.approx(40)

    def test_follows_a_ramp_ahead_of_time(self) -> None:
        demand = after(Demand(500, 500), [500 + second for second in range(300)])
        now = 500 + 299
        assert demand.fast == pytest.approx(now - FAST_S, abs=1)
        assert demand.slow == pytest.approx(now - SLOW_S, abs=1)
        assert demand.ahead(20) == pytest.approx(now + 20, abs=2)

    def test_does_not_take_a_step_for_a_ramp_without_end(self) -> None:
        demand = after(Demand(10, 10), [100.0] * 20)
        assert 60 < demand.ahead(600) <= MOST_GROWTH * 100

    def test_expects_what_has_fallen_off_to_stay_as_it_is(self) -> None:
        demand = after(Demand(100, 100), [0.0] * 20)
        assert demand.ahead(60) == demand.fast

    def test_reckons_with_the_higher_average_for_a_while(self) -> None:
        demand = after(Demand(100, 100), [0.0] * 20)
        assert demand.high == demand.slow > demand.fast
