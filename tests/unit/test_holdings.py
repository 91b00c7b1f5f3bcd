"""Who has how much with the engines."""

import pytest

from deployments.scheduling.holdings import LATELY_S, Holdings
from deployments.scheduling.terms import Level, Terms

A, B, C = Terms("a"), Terms("b"), Terms("c")


@pytest.fixture
def holdings() -> Holdings:
    return Holdings()


def test_nobody_holds_few_when_nobody_has_any(holdings: Holdings) -> None:
    assert holdings.mean == 0
    assert not holdings.are_few(A)


def test_few_are_less_than_the_mean_of_those_who_have_any(holdings: Holdings) -> None:
    for terms, count in ((A, 9), (B, 2)):
        for _ in range(count):
            holdings.add(terms, 0)
    assert holdings.mean == 5.5
    assert not holdings.are_few(A)
    assert holdings.are_few(B)
    assert holdings.are_few(C)


def test_equals_hold_no_few(holdings: Holdings) -> None:
    for terms in (A, B):
        holdings.add(terms, 0)
    assert not holdings.are_few(A)
    assert not holdings.are_few(B)


def test_the_more_urgent_come_first(holdings: Holdings) -> None:
    urgent = Terms("b", level=Level.INTERACTIVE)
    for _ in range(3):
        holdings.add(A, 0)
    assert holdings.are_few(urgent)
    holdings.add(urgent, 0)
    assert holdings.are_few(urgent)
    assert not holdings.are_few(C)


def test_what_is_dropped_is_forgotten(holdings: Holdings) -> None:
    holdings.add(A, 0)
    assert (len(holdings), holdings.of(A)) == (1, 1)
    holdings.drop(A)
    assert (len(holdings), holdings.of(A), holdings.mean) == (0, 0, 0)


class TestOthersWhoHoldFew:
    """Those who asked lately."""

    @pytest.fixture
    def flooded(self, holdings: Holdings) -> Holdings:
        """B has had an answer, and A has three sequences."""
        holdings.add(B, 0)
        holdings.drop(B)
        for _ in range(3):
            holdings.add(A, 1)
        return holdings

    def test_are_there_until_they_have_not_asked_for_a_while(self, flooded: Holdings) -> None:
        assert flooded.others_hold_few(A, LATELY_S)
        assert not flooded.others_hold_few(A, LATELY_S + 0.1)

    def test_are_remembered_for_no_longer(self, flooded: Holdings) -> None:
        flooded.add(A, LATELY_S + 0.1)
        assert not flooded.others_hold_few(A, LATELY_S)

    def test_are_others(self, holdings: Holdings) -> None:
        holdings.add(A, 0)
        assert not holdings.others_hold_few(A, 0)

    def test_hold_less_than_the_mean(self, holdings: Holdings) -> None:
        for terms in (A, B):
            holdings.add(terms, 0)
        assert not holdings.others_hold_few(A, 0)

    def test_are_no_less_urgent(self, flooded: Holdings) -> None:
        assert not flooded.others_hold_few(Terms("a", level=Level.INTERACTIVE), 1)
        assert flooded.others_hold_few(Terms("a", level=Level.BATCH), 1)
