"""What holds of the policy whatever comes."""

import math
import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.scheduling.autoscaling import decide
from deployments.scheduling.scaling import Limits, Observation, State
from deployments.scheduling.supply import Supply
from deployments.scheduling.terms import Level
from tests.unit.autoscaling_simulation import Cluster, Model, turns

short = settings(max_examples=15, deadline=None)
many = settings(max_examples=150, deadline=None)
NOW = 1000.0
amounts = st.floats(0, 1e6) | st.just(0.0)
by_level = st.fixed_dictionaries(dict.fromkeys(Level, amounts))


@st.composite
def limits(draw: st.DrawFn) -> Limits:
    least = draw(st.integers(0, 3))
    return Limits(
        min_replicas=least,
        max_replicas=draw(st.integers(max(1, least), 12)),
        hold_s=draw(st.sampled_from([0, 10, 60])),
        idle_timeout_s=draw(st.sampled_from([0, 30, 120])),
    )


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    ready = draw(st.integers(0, 12))
    return Observation(
        ready=ready,
        target=draw(st.integers(0, 12)),
        queued=draw(by_level),
        arriving=draw(by_level),
        served=draw(amounts),
        saturated=draw(st.booleans()),
        busy=draw(st.floats(0, 12)),
        complete=draw(st.booleans()),
        start_s=draw(st.none() | st.floats(1, 300)),
    )


@st.composite
def states(draw: st.DrawFn) -> State:
    """What may have been learnt by now."""
    state, _ = decide(draw(limits()), None, draw(observations()), NOW - 1)
    ready = draw(st.integers(0, 12))
    asked = tuple(sorted(draw(st.lists(st.floats(NOW - 100, NOW), max_size=5))))
    supply = Supply(
        ready,
        since=NOW - draw(st.floats(0, 100)),
        asked=asked,
        rate=draw(st.none() | st.floats(1, 1e4)),
        cold_start_s=draw(st.none() | st.floats(1, 300)),
    )
    return replace(state, supply=supply, wanted=draw(st.integers(0, 12)))


@st.composite
def loads(draw: st.DrawFn) -> list[float]:
    """What arrives, for 20 s each."""
    return draw(st.lists(st.sampled_from([0, 0, 30, 80, 250, 900]), min_size=4, max_size=15))


def model(load: list[float], bounds: Limits, start_s: float, gpus: float = 1.0) -> Model:
    return Model(
        lambda now: load[int((now - NOW) // 20) % len(load)], bounds, start_s=start_s, gpus=gpus
    )


@many
@given(limits(), st.none() | states(), observations())
def test_the_bounds_hold(bounds: Limits, state: State | None, seen: Observation) -> None:
    for now in (NOW, NOW + 1, NOW + 1000):
        state, decision = decide(bounds, state, seen, now)
        assert bounds.min_replicas <= decision.replicas <= bounds.max_replicas
        assert decision.replicas == state.wanted


@many
@given(limits(), states(), observations(), by_level)
def test_more_that_waits_never_makes_for_fewer(
    bounds: Limits, state: State, seen: Observation, more: dict[Level, float]
) -> None:
    worse = replace(seen, queued={level: seen.queued[level] + more[level] for level in Level})
    _, decision = decide(bounds, state, seen, NOW)
    _, other = decide(bounds, state, worse, NOW)
    assert other.replicas >= decision.replicas


@many
@given(limits(), states(), observations())
def test_what_waits_never_finds_nobody_on_the_way(
    bounds: Limits, state: State, seen: Observation
) -> None:
    if any(seen.queued.values()):
        assert decide(bounds, state, seen, NOW)[1].replicas >= 1


@short
@given(loads(), limits(), st.sampled_from([2.0, 15.0, 60.0]))
def test_who_is_late_has_one_more_on_its_way_in_the_same_period(
    load: list[float], bounds: Limits, start_s: float
) -> None:
    one = model(load, bounds, start_s)
    cluster = Cluster(one)
    for _ in range(500):
        cluster.run(0.4)
        look, state = one.looks[-1], one.state
        assert state is not None
        target_s = bounds.target_wait_s[Level.STANDARD]
        rate = state.supply.rate
        known = rate is not None or not look.ready
        each = look.ready * (rate or math.inf)
        if known and look.queued and (not each or look.queued / each > target_s * 1.0001):
            assert look.target >= min(bounds.max_replicas, look.ready + 1)


@short
@given(st.lists(st.tuples(loads(), limits(), st.sampled_from([1, 2])), min_size=2, max_size=3))
def test_the_budget_holds(cases: list[tuple[list[float], Limits, int]]) -> None:
    models = [model(load, bounds, 15.0, gpus) for load, bounds, gpus in cases]
    budget = 3.0 + sum(one.limits.min_replicas * one.gpus for one in models)
    cluster = Cluster(*models, budget=budget)
    for _ in range(300):
        cluster.run(0.4)
        assert sum(one.target * one.gpus for one in models) <= budget


@short
@given(loads(), st.sampled_from([2.0, 15.0, 60.0]))
def test_what_is_idle_ends_with_nobody_and_what_waits_with_nothing(
    load: list[float], start_s: float
) -> None:
    bounds = Limits(min_replicas=0, max_replicas=12, hold_s=30, idle_timeout_s=60)
    one = model(load, bounds, start_s)
    cluster = Cluster(one).run(200)
    one.load = lambda _: 0.0
    cluster.run(1000)
    assert not any(one.queued.values())
    assert one.target == 0


@short
@given(st.sampled_from([40, 120, 333, 700]), st.sampled_from([5.0, 60.0]), st.integers(0, 999))
def test_a_constant_load_with_noise_moves_hardly_anything(
    load: float, start_s: float, seed: int
) -> None:
    rng = random.Random(seed)
    one = Model(lambda _: load * rng.uniform(0.5, 1.5), Limits(0, 12), start_s=start_s)
    cluster = Cluster(one).run(500)
    began = cluster.now
    cluster.run(300)
    assert turns(one, after=began) <= 1
