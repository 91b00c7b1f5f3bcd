"""Whether a replica that failed is tried again."""

from copy import copy

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from deployments.scheduling.breaker import Breaker


def opened(at: float = 0.0) -> Breaker:
    """One that has just opened, for a second."""
    breaker = Breaker(failures=3, open_s=1.0, max_open_s=30.0)
    for _ in range(3):
        breaker.failed(at)
    return breaker


def fails_its_probe(breaker: Breaker, now: float) -> None:
    assert breaker.started(now)
    breaker.failed(now)


class TestClosed:
    def test_everything_passes(self) -> None:
        breaker = Breaker()
        assert all(breaker.allows(0) for _ in range(100))
        assert not breaker.started(0)
        assert breaker.state == "closed"

    def test_a_few_failures_change_nothing(self) -> None:
        breaker = Breaker(failures=3)
        breaker.failed(0)
        breaker.failed(0)
        assert breaker.allows(0)

    def test_only_failures_in_a_row_count(self) -> None:
        breaker = Breaker(failures=3)
        for _ in range(10):
            breaker.failed(0)
            breaker.failed(0)
            breaker.succeeded()
        assert breaker.allows(0)

    def test_so_many_in_a_row_open_it(self) -> None:
        breaker = opened()
        assert not breaker.allows(0)
        assert breaker.state == "open"


class TestOpen:
    def test_nothing_passes_until_its_time_is_over(self) -> None:
        breaker = opened(at=100)
        assert not breaker.allows(100.99)
        assert breaker.allows(101)

    def test_what_still_fails_meanwhile_does_not_prolong_it(self) -> None:
        breaker = opened(at=100)
        for _ in range(50):
            breaker.failed(100.5)
        assert breaker.allows(101)

    def test_a_sign_of_life_closes_it(self) -> None:
        breaker = opened()
        breaker.succeeded()
        assert breaker.allows(0)
        assert breaker.state == "closed"

    def test_what_is_sent_all_the_same_is_no_probe(self) -> None:
        breaker = opened(at=100)
        assert not breaker.started(100.5)
        assert breaker.allows(101)


class TestHalfOpen:
    def test_it_may_be_asked_any_number_of_times(self) -> None:
        breaker = opened()
        assert all(breaker.allows(1) for _ in range(10))
        assert breaker.state == "half_open"

    def test_nothing_passes_beside_the_probe(self) -> None:
        breaker = opened()
        assert breaker.started(1)
        assert not breaker.allows(1)
        assert not breaker.started(1)
        assert breaker.state == "half_open"

    def test_a_probe_that_succeeds_closes_it(self) -> None:
        breaker = opened()
        breaker.started(1)
        breaker.succeeded()
        assert breaker.allows(1)
        assert breaker.state == "closed"

    def test_once_closed_it_takes_as_many_failures_as_ever(self) -> None:
        breaker = opened()
        breaker.started(1)
        breaker.succeeded()
        breaker.failed(2)
        breaker.failed(2)
        assert breaker.allows(2)
        breaker.failed(2)
        assert not breaker.allows(2.99)
        assert breaker.allows(3)

    def test_a_probe_that_fails_opens_it_for_twice_as_long(self) -> None:
        breaker = opened()
        fails_its_probe(breaker, now=1)
        assert breaker.state == "open"
        assert not breaker.allows(2.99)
        assert breaker.allows(3)
        fails_its_probe(breaker, now=3)
        assert not breaker.allows(6.99)
        assert breaker.allows(7)

    def test_so_does_one_that_was_sent_long_ago_and_fails_only_now(self) -> None:
        breaker = opened()
        assert breaker.allows(1)
        breaker.failed(1)
        assert not breaker.allows(2.99)
        assert breaker.allows(3)

    def test_but_not_for_ever_longer(self) -> None:
        breaker = opened()
        now = 1.0
        for _ in range(10):
            fails_its_probe(breaker, now)
            now += 30
        assert breaker.allows(now)

    def test_a_probe_without_a_verdict_makes_way_for_the_next(self) -> None:
        breaker = opened()
        breaker.started(1)
        breaker.cancelled()
        assert breaker.state == "half_open"
        assert breaker.started(1)

    def test_a_probe_that_nobody_speaks_of_is_given_up(self) -> None:
        breaker = opened()
        breaker.started(1)
        assert not breaker.allows(30.9)
        assert breaker.allows(31)
        assert breaker.started(31)
        assert not breaker.allows(31)


@pytest.mark.parametrize("failures", [1, 2, 7])
def test_it_opens_after_as_many_failures_as_it_is_told(failures: int) -> None:
    breaker = Breaker(failures=failures)
    for _ in range(failures):
        assert breaker.allows(0)
        breaker.failed(0)
    assert not breaker.allows(0)


@settings(max_examples=300, stateful_step_count=40, deadline=None)
class Caller(RuleBasedStateMachine):
    """A caller that sends only what may pass, and may for ever keep to itself how it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.sent = 0
        """Under way, but for the probe."""
        self.probe_since: float | None = None

    @initialize(failures=st.integers(1, 4), open_s=st.floats(0.1, 5), max_open_s=st.floats(5, 60))
    def build(self, failures: int, open_s: float, max_open_s: float) -> None:
        self.breaker = Breaker(failures, open_s, max_open_s)

    @rule(seconds=st.floats(0, 40))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def one_is_sent(self) -> None:
        if not self.breaker.allows(self.now):
            return
        closed = self.breaker.state == "closed"
        is_probe = self.breaker.started(self.now)
        assert is_probe != closed
        if not is_probe:
            self.sent += 1
            return
        if self.probe_since is not None:
            assert self.now >= self.probe_since + self.breaker.max_open_s
        self.probe_since = self.now

    @precondition(lambda self: self.sent)
    @rule(succeeds=st.booleans())
    def one_ends(self, succeeds: bool) -> None:
        self.sent -= 1
        self.probe_since = None  # whichever it was, the breaker has its verdict
        if succeeds:
            self.breaker.succeeded()
        else:
            self.breaker.failed(self.now)

    @precondition(lambda self: self.probe_since is not None)
    @rule(end=st.sampled_from(["succeeded", "failed", "cancelled"]))
    def the_probe_ends(self, end: str) -> None:
        self.probe_since = None
        if end == "succeeded":
            self.breaker.succeeded()
            assert self.breaker.state == "closed"
        elif end == "failed":
            self.breaker.failed(self.now)
            assert self.breaker.state == "open"
        else:
            self.breaker.cancelled()
            assert self.breaker.allows(self.now)

    @invariant()
    def closed_it_lets_everything_through(self) -> None:
        if self.breaker.state == "closed":
            assert self.breaker.allows(self.now)

    @invariant()
    def it_never_stays_shut_for_longer_than_it_may(self) -> None:
        later = copy(self.breaker)
        assert later.allows(self.now + self.breaker.max_open_s)
        assert later.state in ("closed", "half_open")

    @invariant()
    def asking_changes_nothing_for_who_asks_again(self) -> None:
        asked = copy(self.breaker)
        assert asked.allows(self.now) == asked.allows(self.now)


TestCaller = Caller.TestCase
