"""Models that grow and shrink under load, over minutes and hours."""

import math
import random
from collections.abc import Callable

import pytest

from deployments.scheduling.scaling import Cause, Limits
from deployments.scheduling.terms import Level
from tests.unit.autoscaling_simulation import (
    PERIOD_S,
    Cluster,
    Model,
    targets,
    turns,
)

STARTED = 1000.0
"""When the simulation begins."""


def steps(*parts: tuple[float, float]) -> Callable[[float], float]:
    """So much from each moment on, in seconds from the beginning."""

    def load(now: float) -> float:
        return next((rate for at, rate in reversed(parts) if now - STARTED > at), 0.0)

    return load


def steady(model: Model) -> Cluster:
    """A model that has been served for ten minutes."""
    return Cluster(model).run(600)


class TestAStep:
    @pytest.mark.parametrize("start_s", [5.0, 20.0, 60.0])
    def test_from_one_to_six_is_served_and_taken_back(self, start_s: float) -> None:
        model = Model(steps((0, 70), (600, 420), (1200, 70)), start_s=start_s)
        Cluster(model).run(2400)
        grown = [look.at for look in model.looks if look.target >= 5]
        assert grown[0] - STARTED - 600 < 20
        at_its_best = [look for look in model.looks if 1800 < look.at - STARTED < 2200]
        assert max(look.wait_s for look in at_its_best) == 0
        longest = max(look.wait_s for look in model.looks if look.at - STARTED > 600)
        # What comes while the first ones start has to be worked off by them.
        assert longest < 2 * start_s + 15
        assert targets(model)[-1] <= 2

    def test_is_answered_in_the_period_in_which_the_target_is_crossed(self) -> None:
        model = Model(steps((0, 70), (600, 420)))
        Cluster(model).run(700)
        crossed = next(look for look in model.looks if look.at > STARTED + 600 and look.wait_s > 5)
        assert crossed.starting > 0

    def test_costs_no_more_than_it_must(self) -> None:
        model = Model(steps((0, 70), (600, 420)), limits=Limits(1, 50))
        Cluster(model).run(1500)
        assert max(targets(model)) <= 12  # 5 hold it; the rest works off what has piled up
        assert targets(model)[-1] <= 8


class TestARamp:
    def test_is_followed_before_anybody_is_late(self) -> None:
        def load(now: float) -> float:
            return 50 + 400 * max(0.0, min(1.0, (now - STARTED - 600) / 600))

        model = Model(load, start_s=30)
        Cluster(model).run(1500)
        late = [look for look in model.looks if look.at > STARTED + 600 and look.wait_s > 5]
        assert late == []
        assert all(
            look.decision.cause in {Cause.ARRIVALS, Cause.STEADY}
            for look in model.looks
            if look.at > STARTED + 750
        )


class TestASpike:
    def test_is_over_when_its_replicas_have_been_spare_for_long_enough(self) -> None:
        model = Model(steps((0, 50), (600, 500), (610, 50)))
        Cluster(model).run(1200)
        assert max(targets(model, after=STARTED + 601)) > 2
        assert targets(model)[-1] == 1


class TestOnAndOff:
    def test_quicker_than_the_hold_time_moves_nothing(self) -> None:
        model = Model(lambda now: 150.0 if (now // 60) % 2 else 0.0)
        steady(model).run(1200)
        assert turns(model, after=STARTED + 600) == 0

    def test_slower_than_it_goes_up_and_down_once_for_each(self) -> None:
        model = Model(lambda now: 250.0 if (now // 600) % 2 else 0.0)
        steady(model).run(4800)
        assert turns(model, after=STARTED + 600) <= 8


class TestNoise:
    @pytest.mark.parametrize("load", [40.0, 85.0, 170.0, 340.0, 600.0])
    def test_around_a_constant_load_moves_hardly_anything(self, load: float) -> None:
        rng = random.Random(int(load))
        model = Model(lambda _: load * rng.uniform(0.5, 1.5))
        steady(model).run(2400)
        assert turns(model, after=STARTED + 900) <= 1

    def test_of_few_large_requests_is_held_by_enough_replicas(self) -> None:
        rng = random.Random(5)
        # Each takes a replica for two seconds, and one comes each four seconds.
        model = Model(lambda _: 200 / PERIOD_S if rng.random() < PERIOD_S / 4 else 0.0)
        steady(model).run(2400)
        assert turns(model, after=STARTED + 900) <= 3
        assert set(targets(model, after=STARTED + 900)) <= {1, 2, 3}


class TestZero:
    LIMITS = Limits(min_replicas=0, max_replicas=4, idle_timeout_s=300)

    def test_is_reached_and_left(self) -> None:
        model = Model(steps((0, 0), (900, 60), (1000, 0)), limits=self.LIMITS)
        Cluster(model).run(2000)
        assert targets(model)[:3] == [1, 0, 1]
        assert targets(model)[-1] == 0
        woken = next(look for look in model.looks if look.decision.cause == Cause.WAKE)
        assert woken.at - STARTED == pytest.approx(900, abs=2 * PERIOD_S)

    def test_is_left_for_a_single_request(self) -> None:
        def load(now: float) -> float:
            return 1.0 if 700 < now - STARTED < 700.5 else 0.0

        model = Model(load, limits=self.LIMITS)
        Cluster(model).run(1500)
        assert targets(model) == [1, 0, 1, 0]
        assert not any(model.queued.values())


class TestClasses:
    def test_of_no_hurry_are_worked_off_without_more_replicas(self) -> None:
        def load(now: float) -> dict[Level, float]:
            return {Level.BATCH: 300.0 if 600 < now - STARTED < 615 else 0.0}

        model = Model(load)
        Cluster(model).run(900)
        assert targets(model) == [1]

    def test_in_a_hurry_get_more_replicas_for_as_much(self) -> None:
        def load(now: float) -> dict[Level, float]:
            return {Level.INTERACTIVE: 300.0 if 600 < now - STARTED < 615 else 50.0}

        model = Model(load)
        Cluster(model).run(900)
        assert max(targets(model, after=STARTED + 600)) > 1


class TestABudget:
    def test_is_shared_when_two_models_want_all_of_it(self) -> None:
        first = Model(steps((0, 700)), limits=Limits(1, 8))
        second = Model(steps((0, 50), (900, 700)), limits=Limits(1, 8))
        cluster = Cluster(first, second, budget=8).run(900)
        assert (first.target, second.target) == (7, 1)
        cluster.run(900)
        assert (first.target, second.target) == (4, 4)
        assert first.looks[-1].decision.cause == Cause.BUDGET

    def test_goes_back_to_who_still_wants_it(self) -> None:
        first = Model(steps((0, 700)), limits=Limits(1, 8))
        second = Model(steps((0, 700), (900, 0)), limits=Limits(0, 8, idle_timeout_s=200))
        Cluster(first, second, budget=8).run(2000)
        assert (first.target, second.target) == (8, 0)

    def test_has_a_replica_for_each_that_has_a_queue(self) -> None:
        heavy = Model(steps((0, 2000)), limits=Limits(0, 8), weight=100)
        light = Model(steps((600, 1)), limits=Limits(0, 8), weight=0.01)
        Cluster(heavy, light, budget=4).run(700)
        assert (heavy.target, light.target) == (3, 1)

    def test_is_never_exceeded(self) -> None:
        rng = random.Random(3)

        def up_to(most: float) -> Callable[[float], float]:
            return lambda _: most * rng.random()

        models = [
            Model(up_to(most), limits=Limits(0, 6), gpus=gpus)
            for most, gpus in ((900, 1), (600, 2), (300, 4))
        ]
        Cluster(*models, budget=10).run(1500)
        for looks in zip(*(model.looks for model in models), strict=True):
            used = sum(look.target * model.gpus for look, model in zip(looks, models, strict=True))
            assert used <= 10


class TestFailures:
    def test_of_replicas_are_made_up_for(self) -> None:
        model = Model(steps((0, 250)))
        cluster = steady(model)
        before = model.target
        model.ready -= 2
        model.set_target(model.target, cluster.now)
        cluster.run(300)
        assert model.ready >= before
        assert not any(model.queued.values())

    def test_of_the_routers_shrink_nothing(self) -> None:
        model = Model(steps((0, 250)))
        cluster = steady(model)
        before = model.target
        model.heard = False
        cluster.run(900)
        assert model.target == before

    def test_to_get_machines_are_no_reason_to_ask_for_ever_more(self) -> None:
        model = Model(steps((0, 70), (600, 130)), limits=Limits(1, 100), start_s=20)
        cluster = steady(model)
        model.start_s = math.inf
        cluster.run(60)
        assert model.target <= 8
