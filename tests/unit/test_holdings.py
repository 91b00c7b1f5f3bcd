"""Who has how much with the engines."""

import pytest

from deployments.scheduling.holdings import Holdings
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
            holdings.add(terms)
    assert holdings.mean == 5.5
    assert not holdings.are_few(A)
    assert holdings.are_few(B)
    assert holdings.are_few(C)


def test_equals_hold_no_few(holdings: Holdings) -> None:
    for terms in (A, B):
        holdings.add(terms)
    assert not holdings.are_few(A)
    assert not holdings.are_few(B)


def test_the_more_urgent_come_first(holdings: Holdings) -> None:
    urgent = Terms("b", level=Level.INTERACTIVE)
    for _ in range(3):
        holdings.add(A)
    assert holdings.are_few(urgent)
    holdings.add(urgent)
    assert holdings.are_few(urgent)
    assert not holdings.are_few(C)


def test_what_is_dropped_is_forgotten(holdings: Holdings) -> None:
    holdings.add(A)
    assert (len(holdings), holdings.of(A)) == (1, 1)
    holdings.drop(A)
    assert (len(holdings), holdings.of(A), holdings.mean) == (0, 0, 0)
