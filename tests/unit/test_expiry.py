"""Whose time has come: each is called once, in time, and nobody who is done."""

from collections.abc import AsyncIterator

import pytest

from deployments.expiry import Expiry
from deployments.ticket import Ticket
from tests.unit.fakes import FakeClock, until
from tests.unit.peers import ticket


@pytest.fixture
def due() -> list[Ticket]:
    """Who has been called for, in order."""
    return []


@pytest.fixture
async def expiry(clock: FakeClock, due: list[Ticket]) -> AsyncIterator[Expiry]:
    expiry = Expiry(clock, due.append)
    yield expiry
    expiry.close()


class TestRinging:
    async def test_calls_for_nobody_before_the_time(
        self, expiry: Expiry, clock: FakeClock, due: list[Ticket]
    ) -> None:
        expiry.add(ticket(), clock() + 1.0)
        clock.advance(0.9)
        expiry.ring()
        assert due == []

    async def test_calls_for_everyone_whose_time_has_come_the_earliest_first(
        self, expiry: Expiry, clock: FakeClock, due: list[Ticket]
    ) -> None:
        late, early, latest = ticket(), ticket(), ticket()
        for each, after_s in ((late, 2.0), (early, 1.0), (latest, 3.0)):
            expiry.add(each, clock() + after_s)
        clock.advance(2.0)
        expiry.ring()
        assert due == [early, late]

    async def test_calls_once(self, expiry: Expiry, clock: FakeClock, due: list[Ticket]) -> None:
        one = ticket()
        expiry.add(one, clock() + 1.0)
        clock.advance(1.0)
        expiry.ring()
        expiry.ring()
        assert due == [one]

    async def test_takes_those_of_one_and_the_same_time_as_they_came(
        self, expiry: Expiry, clock: FakeClock, due: list[Ticket]
    ) -> None:
        same = [ticket() for _ in range(5)]
        for each in same:
            expiry.add(each, clock() + 1.0)
        clock.advance(1.0)
        expiry.ring()
        assert due == same

    async def test_does_not_call_for_those_who_are_done(
        self, expiry: Expiry, clock: FakeClock, due: list[Ticket]
    ) -> None:
        done = ticket()
        expiry.add(done, clock() + 1.0)
        done.done = True
        clock.advance(1.0)
        expiry.ring()
        assert due == []

    async def test_does_not_call_for_those_who_are_done_by_what_the_first_call_does(
        self, clock: FakeClock
    ) -> None:
        """Two sequences of one request are late at once, and its reader leaves with the first."""
        both = [ticket(), ticket()]
        called = []

        def give_up(one: Ticket) -> None:
            called.append(one)
            for each in both:
                each.done = True

        expiry = Expiry(clock, give_up)
        for each in both:
            expiry.add(each, clock() + 1.0)
        clock.advance(1.0)
        expiry.ring()
        assert called == both[:1]
        expiry.close()

    async def test_lets_whoever_is_called_for_be_added_again(self, clock: FakeClock) -> None:
        one, called = ticket(), []

        def again(each: Ticket) -> None:
            called.append(clock())
            repeated.add(each, clock() + 1.0)

        repeated = Expiry(clock, again)
        repeated.add(one, clock() + 1.0)
        for _ in range(4):
            clock.advance(0.5)
            repeated.ring()
        assert called == [1001.0, 1002.0]
        repeated.close()

    async def test_never_comes_at_infinity(
        self, expiry: Expiry, clock: FakeClock, due: list[Ticket]
    ) -> None:
        expiry.add(ticket(), float("inf"))
        clock.advance(1e9)
        expiry.ring()
        assert due == []


class TestTimer:
    async def test_rings_by_itself(
        self, expiry: Expiry, clock: FakeClock, due: list[Ticket]
    ) -> None:
        one = ticket()
        expiry.add(one, clock() + 0.02)
        clock.advance(0.02)
        await until(lambda: due == [one])

    async def test_rings_earlier_for_one_that_came_later(
        self, expiry: Expiry, clock: FakeClock, due: list[Ticket]
    ) -> None:
        expiry.add(ticket(), clock() + 3600.0)
        urgent = ticket()
        expiry.add(urgent, clock() + 0.02)
        clock.advance(0.02)
        await until(lambda: due == [urgent])

    async def test_rings_for_each_in_turn(
        self, expiry: Expiry, clock: FakeClock, due: list[Ticket]
    ) -> None:
        both = [ticket(), ticket()]
        expiry.add(both[0], clock() + 0.01)
        expiry.add(both[1], clock() + 0.02)
        clock.advance(0.01)
        await until(lambda: due == both[:1])
        clock.advance(0.01)
        await until(lambda: due == both)

    async def test_that_is_early_by_our_clock_waits_for_it(
        self, expiry: Expiry, clock: FakeClock, due: list[Ticket]
    ) -> None:
        one = ticket()
        expiry.add(one, clock() + 0.01)
        expiry.ring()
        assert due == []
        clock.advance(0.01)
        await until(lambda: due == [one])


class TestMemory:
    async def test_holds_few_of_those_who_are_done_however_many_there_were(
        self, expiry: Expiry, clock: FakeClock
    ) -> None:
        """The one who waits longest must not keep all who came after it."""
        expiry.add(ticket(), clock() + 1.0)
        for _ in range(10_000):
            served = ticket()
            expiry.add(served, clock() + 600.0)
            served.done = True
        assert len(expiry._heap) < 1000


class TestClosing:
    async def test_calls_for_nobody_any_more(
        self, expiry: Expiry, clock: FakeClock, due: list[Ticket]
    ) -> None:
        expiry.add(ticket(), clock() + 1.0)
        expiry.close()
        clock.advance(2.0)
        expiry.ring()
        assert due == []

    async def test_may_come_before_anyone_was_added(self, clock: FakeClock) -> None:
        Expiry(clock, lambda _: None).close()
