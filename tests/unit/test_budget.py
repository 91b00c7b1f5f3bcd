"""Who gets how many of the GPUs that models share."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.scheduling.budget import Claim, share


class TestShare:
    def test_is_what_each_wants_while_there_is_enough(self) -> None:
        assert share({"a": Claim(3, 1), "b": Claim(5, 1)}, 8) == {"a": 3, "b": 5}

    def test_is_even_where_all_want_more(self) -> None:
        assert share({"a": Claim(8, 1), "b": Claim(8, 1)}, 8) == {"a": 4, "b": 4}

    def test_leaves_what_one_does_not_want_to_the_others(self) -> None:
        assert share({"a": Claim(1, 1), "b": Claim(9, 1), "c": Claim(9, 1)}, 9) == {
            "a": 1,
            "b": 4,
            "c": 4,
        }

    def test_goes_by_weight(self) -> None:
        claims = {"a": Claim(9, 1, weight=3), "b": Claim(9, 1, weight=1)}
        assert share(claims, 8) == {"a": 6, "b": 2}

    def test_is_counted_in_gpus_and_not_in_replicas(self) -> None:
        claims = {"large": Claim(4, 4), "small": Claim(8, 1)}
        assert share(claims, 12) == {"large": 1, "small": 8}
        assert share(claims, 16) == {"large": 2, "small": 8}

    def test_gives_every_minimum_first(self) -> None:
        claims = {"a": Claim(9, 1, weight=100), "b": Claim(9, 1, least=3)}
        assert share(claims, 4) == {"a": 1, "b": 3}

    def test_gives_each_that_wants_any_one_before_others_get_a_second(self) -> None:
        claims = {"heavy": Claim(9, 1, weight=100), "light": Claim(1, 1, weight=0.01)}
        assert share(claims, 4) == {"heavy": 3, "light": 1}

    def test_passes_over_one_that_does_not_fit(self) -> None:
        assert share({"large": Claim(1, 4), "small": Claim(4, 1)}, 3) == {"large": 0, "small": 3}

    def test_does_not_bind_models_without_gpus(self) -> None:
        assert share({"cpu": Claim(5, 0), "gpu": Claim(5, 1)}, 2) == {"cpu": 5, "gpu": 2}

    def test_without_a_budget_is_what_each_wants(self) -> None:
        assert share({"a": Claim(3, 1), "b": Claim(500, 8)}) == {"a": 3, "b": 500}

    def test_of_fractions_of_a_gpu_adds_up(self) -> None:
        assert share({"a": Claim(10, 0.1)}, 1) == {"a": 10}


@st.composite
def claims(draw: st.DrawFn) -> dict[str, Claim]:
    def claim() -> Claim:
        least = draw(st.integers(0, 2))
        return Claim(
            wanted=draw(st.integers(least, 9)),
            gpus=draw(st.sampled_from([0, 0.5, 1, 2, 8])),
            least=least,
            weight=draw(st.sampled_from([0.5, 1, 3])),
        )

    return {name: claim() for name in "abcd"[: draw(st.integers(1, 4))]}


@settings(max_examples=500, deadline=None)
@given(claims(), st.integers(0, 40))
def test_holds_the_budget_and_leaves_nobody_a_replica_that_would_fit(
    asked: dict[str, Claim], above: int
) -> None:
    budget = above + sum(claim.least * claim.gpus for claim in asked.values())
    granted = share(asked, budget)
    used = sum(granted[name] * claim.gpus for name, claim in asked.items())
    assert used <= budget
    for name, claim in asked.items():
        assert claim.least <= granted[name] <= claim.wanted
        assert granted[name] == claim.wanted or claim.gpus > budget - used


@settings(max_examples=500, deadline=None)
@given(claims(), st.integers(0, 40))
def test_nobody_lags_behind_one_that_has_more_by_weight(
    asked: dict[str, Claim], above: int
) -> None:
    same = {
        name: Claim(claim.wanted, 1, claim.least, claim.weight) for name, claim in asked.items()
    }
    budget = above + sum(claim.least for claim in same.values())
    granted = share(same, budget)
    for name, claim in same.items():
        if granted[name] == claim.wanted:
            continue
        for other, rival in same.items():
            if granted[other] > max(1, rival.least):
                assert granted[other] / rival.weight <= (granted[name] + 1) / claim.weight


@settings(max_examples=200, deadline=None)
@given(claims(), st.integers(0, 40), st.sampled_from("abcd"))
def test_who_wants_more_takes_nothing_from_its_own(
    asked: dict[str, Claim], above: int, name: str
) -> None:
    if name not in asked:
        return
    budget = above + sum(claim.least * claim.gpus for claim in asked.values())
    before = share(asked, budget)[name]
    claim = asked[name]
    more = {**asked, name: Claim(claim.wanted + 1, claim.gpus, claim.least, claim.weight)}
    assert share(more, budget)[name] >= before


def test_infinity_is_a_budget() -> None:
    assert share({"a": Claim(2, 1)}, math.inf) == {"a": 2}
