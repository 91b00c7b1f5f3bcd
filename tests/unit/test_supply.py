"""What replicas can do: those that work, and those that start."""

import math

import pytest

from deployments.scheduling.supply import COLD_START_S, SETTLED_S, Supply


def working(rate: float | None = 100.0, ready: int = 1, asked: tuple[float, ...] = ()) -> Supply:
    return Supply(ready, since=0.0, asked=asked, rate=rate)


class TestStarts:
    def test_are_counted_from_when_they_are_asked_for(self) -> None:
        supply = working(ready=1).counted(10.0, ready=1, target=3)
        assert supply.asked == (10.0, 10.0)
        supply = supply.counted(12.0, ready=1, target=4)
        assert supply.asked == (10.0, 10.0, 12.0)

    def test_end_with_the_oldest_when_one_is_ready(self) -> None:
        supply = working(asked=(10.0, 12.0)).counted(40.0, ready=2, target=3)
        assert (supply.ready, supply.asked) == (2, (12.0,))

    def test_are_given_up_from_the_newest_on(self) -> None:
        supply = working(asked=(10.0, 12.0)).counted(13.0, ready=1, target=2)
        assert supply.asked == (10.0,)

    def test_of_one_that_replaces_a_dead_one_are_counted_too(self) -> None:
        supply = working(ready=2).counted(30.0, ready=1, target=2)
        assert supply.asked == (30.0,)

    def test_tell_how_long_a_start_takes(self) -> None:
        supply = working(asked=(10.0,)).counted(40.0, ready=2, target=2)
        assert supply.start_s() == 30
        supply = supply.counted(50.0, ready=2, target=3).counted(100.0, ready=3, target=3)
        assert supply.start_s() == 40  # the newest counts as much as all before it

    def test_that_waited_for_a_machine_for_ever_do_not_count_in_full(self) -> None:
        supply = working(asked=(0.0,)).counted(100_000.0, ready=2, target=2)
        assert supply.start_s() == 900

    def test_are_taken_for_what_replicas_say_while_none_was_seen(self) -> None:
        assert working().start_s() == COLD_START_S
        assert working().start_s(told_s=12.0) == 12

    def test_are_due_when_the_time_of_a_start_has_passed(self) -> None:
        assert working(asked=(10.0, 25.0)).due(30.0, start_s=20.0) == [0, 15]

    def test_that_are_late_are_taken_to_be_half_way(self) -> None:
        assert working(asked=(0.0,)).due(50.0, start_s=20.0) == [30]


class TestRate:
    def test_is_what_each_works_off_while_something_waits(self) -> None:
        supply = working(rate=None, ready=2).worked(SETTLED_S, 240.0, 1.0, saturated=True)
        assert supply.rate == 120

    def test_is_not_known_while_nothing_has_waited(self) -> None:
        assert working(rate=None).worked(SETTLED_S, 50.0, 1.0, saturated=False).rate is None

    def test_is_not_learnt_right_after_their_number_has_changed(self) -> None:
        supply = working(rate=None).counted(10.0, ready=2, target=2)
        assert supply.worked(10.0 + SETTLED_S / 2, 50.0, 1.0, saturated=True).rate is None
        assert supply.worked(10.0 + SETTLED_S, 50.0, 1.0, saturated=True).rate == 25

    def test_follows_what_is_observed(self) -> None:
        supply = working(rate=100.0)
        for second in range(100):
            supply = supply.worked(SETTLED_S + second, 60.0, 1.0, saturated=True)
        assert supply.rate == pytest.approx(60, rel=0.01)

    def test_is_at_least_what_is_worked_off_though_nothing_waits(self) -> None:
        supply = working(rate=100.0)
        for second in range(100):
            supply = supply.worked(SETTLED_S + second, 150.0, 1.0, saturated=False)
        assert supply.rate == pytest.approx(150, rel=0.01)
        assert supply.worked(200.0, 10.0, 1.0, saturated=False).rate == supply.rate

    def test_does_not_fall_by_a_standstill(self) -> None:
        assert working().worked(SETTLED_S, 0.0, 1.0, saturated=True).rate == 100


class TestWork:
    def test_takes_those_that_work_its_share_of_their_rate(self) -> None:
        assert working(ready=2).drained_s(1000, due=[]) == 5

    def test_is_shared_with_those_that_start_from_when_they_are_ready(self) -> None:
        # 4 s with one, then with two.
        assert working(ready=1).drained_s(1000, due=[4.0]) == pytest.approx(4 + 600 / 200)

    def test_waits_for_the_first_to_be_ready(self) -> None:
        assert working(ready=0).drained_s(500, due=[20.0]) == 25

    def test_is_never_done_without_anybody(self) -> None:
        assert working(ready=0).drained_s(1, due=[]) == math.inf

    def test_of_none_takes_no_time(self) -> None:
        assert working(ready=0).drained_s(0, due=[]) == 0

    def test_is_not_judged_while_the_rate_of_those_that_work_is_not_known(self) -> None:
        assert working(rate=None).drained_s(1000, due=[]) == 0
        assert working(rate=None, ready=0).drained_s(1000, due=[5.0]) == math.inf

    def test_is_done_by_all_in_their_time(self) -> None:
        assert working(ready=2).done_in(10, due=[4.0, 12.0]) == 2 * 1000 + 600
