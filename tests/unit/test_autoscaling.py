"""How many replicas there should be, decision by decision."""

from dataclasses import replace

import pytest

from deployments.scheduling.autoscaling import IDLE, decide
from deployments.scheduling.scaling import Cause, Decision, Limits, Observation, State
from deployments.scheduling.supply import SETTLED_S, Supply
from deployments.scheduling.terms import Level

NOW = 1000.0
START_S = 20.0
RATE = 100.0
LIMITS = Limits(min_replicas=1, max_replicas=10)


def seen(
    *,
    ready: int = 1,
    target: int | None = None,
    interactive: float = 0,
    standard: float = 0,
    batch: float = 0,
    arriving: float = 0,
    served: float = 0,
    saturated: bool = False,
    busy: float = 0,
    complete: bool = True,
) -> Observation:
    return Observation(
        ready=ready,
        target=ready if target is None else target,
        queued={Level.INTERACTIVE: interactive, Level.STANDARD: standard, Level.BATCH: batch},
        arriving={Level.STANDARD: arriving},
        served=served,
        saturated=saturated,
        busy=busy,
        complete=complete,
    )


def known(
    wanted: int = 1, *, ready: int | None = None, rate: float | None = RATE, arriving: float = 0
) -> State:
    """What has been learnt of a model that has been served for a while."""
    state, _ = decide(LIMITS, None, seen(ready=wanted, arriving=arriving), NOW)
    ready = wanted if ready is None else ready
    asked = (NOW,) * (wanted - ready)
    supply = Supply(ready, NOW - SETTLED_S, asked, rate=rate, cold_start_s=START_S)
    return replace(state, wanted=wanted, supply=supply)


def decided(state: State | None, observation: Observation, limits: Limits = LIMITS) -> Decision:
    return decide(limits, state, observation, NOW + 0.4)[1]


def over_time(
    state: State, observation: Observation, seconds: float, limits: Limits = LIMITS
) -> tuple[State, list[Decision]]:
    """What changes while all stays as it is."""
    decisions = []
    wanted = state.wanted
    for tick in range(round(seconds)):
        state, decision = decide(limits, state, observation, NOW + 1 + tick)
        if decision.replicas != wanted:
            decisions.append(decision)
            wanted = decision.replicas
            observation = replace(observation, ready=wanted, target=wanted)
    return state, decisions


class TestTheFirstLook:
    def test_asks_for_one_at_least_to_see_that_the_model_can_be_served(self) -> None:
        limits = Limits(min_replicas=0, max_replicas=4)
        decision = decided(None, seen(ready=0), limits)
        assert (decision.replicas, decision.cause) == (1, Cause.START)

    def test_leaves_as_many_as_there_are(self) -> None:
        assert decided(None, seen(ready=2, target=5)).replicas == 5

    def test_keeps_the_bounds(self) -> None:
        assert decided(None, seen(ready=40)).replicas == 10


class TestUp:
    def test_begins_when_a_class_would_wait_for_longer_than_its_target(self) -> None:
        assert decided(known(), seen(standard=499)).replicas == 1
        decision = decided(known(), seen(standard=501))
        assert (decision.replicas, decision.cause) == (2, Cause.QUEUE)

    def test_goes_by_the_target_of_each_class(self) -> None:
        assert decided(known(), seen(interactive=201)).replicas == 2
        assert decided(known(), seen(batch=5999)).replicas == 1

    def test_counts_what_is_more_urgent_as_before_a_class(self) -> None:
        assert decided(known(), seen(interactive=150, standard=351)).replicas == 2
        assert decided(known(), seen(standard=150, batch=6000)).replicas == 2

    def test_asks_for_as_many_as_work_off_what_waits(self) -> None:
        # In the 20 s of a start one does 2,000; the rest is to be gone in another 20 s.
        assert decided(known(), seen(standard=10_000)).replicas == 4
        assert decided(known(), seen(standard=10_100)).replicas == 5

    def test_begins_when_a_class_is_going_to_be_late(self) -> None:
        # When another is ready, 20 s at 75 more than they do are 5 s of work for them.
        assert decided(known(3, arriving=374), seen(ready=3, arriving=374)).replicas == 3
        decision = decided(known(3, arriving=376), seen(ready=3, arriving=376))
        assert (decision.replicas, decision.cause) == (6, Cause.ARRIVALS)

    def test_counts_what_piles_up_until_those_are_ready(self) -> None:
        # 20 s at 200 more than they do, gone in 20 s: 2; and 4 / 0.85 for what arrives.
        state = known(2, arriving=400)
        assert decided(state, seen(ready=2, arriving=400)).replicas == 7

    def test_does_not_ask_again_for_what_is_on_its_way(self) -> None:
        state, decision = decide(LIMITS, known(), seen(standard=10_000), NOW + 0.4)
        again = seen(standard=10_000, target=decision.replicas)
        assert over_time(state, again, 5)[1] == []

    def test_has_one_more_on_its_way_while_a_class_is_late_whatever_the_arithmetic(self) -> None:
        # It will be gone long before another is ready, if the rate is right.
        state = replace(known(3), supply=replace(known(3).supply, cold_start_s=300.0))
        assert decided(state, seen(ready=3, standard=1600)).replicas == 4

    def test_does_so_only_while_none_is(self) -> None:
        state = known(4, ready=3)
        assert decided(state, seen(ready=3, target=4, standard=1600)).replicas == 4

    def test_takes_the_most_that_any_class_needs(self) -> None:
        both = decided(known(), seen(interactive=300, batch=30_000)).replicas
        assert both == decided(known(), seen(batch=30_300)).replicas > 2

    def test_asks_for_one_at_a_time_while_the_rate_is_not_known(self) -> None:
        state = known(2, ready=0, rate=None)
        assert decided(state, seen(ready=0, target=2, standard=10_000)).replicas == 2
        assert decided(known(rate=None), seen(standard=10_000)).replicas == 1

    def test_keeps_the_bounds(self) -> None:
        assert decided(known(), seen(standard=1e9)).replicas == 10

    def test_says_why(self) -> None:
        assert str(decided(known(), seen(standard=600))) == (
            "queue: standard would wait 6.0 s and may 5 s, 600 wait, 0/s come, 100/s each, "
            "20 s to start"
        )


class TestZero:
    LIMITS = Limits(min_replicas=0, max_replicas=4, idle_timeout_s=300)

    def test_comes_when_nothing_was_asked_for_so_long(self) -> None:
        _, decisions = over_time(known(), seen(), 302, self.LIMITS)
        assert [(d.replicas, d.cause) for d in decisions] == [(0, Cause.IDLE)]

    def test_comes_later_for_a_request_in_between(self) -> None:
        state, _ = over_time(known(), seen(), 200, self.LIMITS)
        state, _ = decide(self.LIMITS, state, seen(arriving=1), NOW + 200)
        state = replace(state, at=NOW)
        assert over_time(state, seen(), 299, self.LIMITS)[1] == []

    def test_does_not_come_before_the_first_replica_has_started(self) -> None:
        state, decisions = over_time(known(ready=0), seen(ready=0, target=1), 900, self.LIMITS)
        assert decisions == []
        state = replace(state, at=NOW, quiet_since=NOW)
        assert over_time(state, seen(), 299, self.LIMITS)[1] == []

    def test_does_not_come_while_something_runs(self) -> None:
        assert over_time(known(), seen(busy=0.01), 900, self.LIMITS)[1] == []

    def test_does_not_come_where_the_minimum_is_one(self) -> None:
        assert over_time(known(), seen(), 900, LIMITS)[1] == []

    def test_ends_at_once_when_anything_waits(self) -> None:
        decision = decided(known(0), seen(ready=0, batch=1), self.LIMITS)
        assert (decision.replicas, decision.cause) == (1, Cause.WAKE)

    def test_ends_with_as_many_as_what_waits_needs(self) -> None:
        assert decided(known(0), seen(ready=0, standard=6000), self.LIMITS).replicas == 3

    def test_stays_while_nothing_waits(self) -> None:
        assert over_time(known(0, arriving=50), seen(ready=0), 60, self.LIMITS)[1] == []


class TestDown:
    def test_waits_until_fewer_have_done_for_long_enough(self) -> None:
        state, decisions = over_time(known(4), seen(ready=4), LIMITS.hold_s)
        assert decisions == []
        state, decision = decide(LIMITS, state, seen(ready=4), NOW + LIMITS.hold_s + 2)
        assert (decision.replicas, decision.cause) == (1, Cause.SPARE)

    def test_leaves_as_many_as_were_needed_in_that_time(self) -> None:
        state, _ = over_time(known(4, arriving=100), seen(ready=4, arriving=100), 60)
        _, decisions = over_time(replace(state, at=NOW), seen(ready=4), 125)
        assert [decision.replicas for decision in decisions] == [2]

    def test_begins_anew_when_all_were_needed_in_between(self) -> None:
        state, _ = over_time(known(4), seen(ready=4), 100)
        state, _ = decide(LIMITS, state, seen(ready=4, standard=1500), NOW + 101)
        _, decisions = over_time(replace(state, at=NOW), seen(ready=4), LIMITS.hold_s)
        assert decisions == []

    def test_needs_a_margin_for_what_arrives(self) -> None:
        enough = 3 * RATE * IDLE
        for arriving, left in ((enough - 1, [3]), (enough + 1, [])):
            state = known(4, arriving=arriving)
            _, decisions = over_time(state, seen(ready=4, arriving=arriving), 125)
            assert [decision.replicas for decision in decisions] == left

    def test_needs_a_margin_for_what_runs(self) -> None:
        for busy, left in ((3 * IDLE - 0.01, [3]), (3 * IDLE + 0.01, [])):
            state = replace(known(4), busy=busy)
            _, decisions = over_time(state, seen(ready=4, busy=busy), 125)
            assert [decision.replicas for decision in decisions] == left

    def test_does_not_go_by_a_rate_that_is_not_known(self) -> None:
        state = known(4, rate=None, arriving=1e6)
        _, decisions = over_time(state, seen(ready=4, arriving=1e6, busy=1.0), 125)
        assert [decision.replicas for decision in decisions] == [2]

    def test_does_not_come_while_somebody_is_not_heard(self) -> None:
        state, _ = over_time(known(4), seen(ready=4), 100)
        state, decision = decide(LIMITS, state, seen(ready=4, complete=False), NOW + 101)
        assert decision.replicas == 4
        assert over_time(replace(state, at=NOW), seen(ready=4), LIMITS.hold_s)[1] == []


class TestBounds:
    @pytest.mark.parametrize(("limits", "replicas"), [(Limits(5, 8), 5), (Limits(1, 2), 2)])
    def test_that_have_changed_hold_at_once(self, limits: Limits, replicas: int) -> None:
        decision = decided(known(4), seen(ready=4), limits)
        assert (decision.replicas, decision.cause) == (replicas, Cause.BOUNDS)
