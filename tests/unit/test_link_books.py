"""What a router's end of a connection keeps account of: what it owes, its room, its faults."""

import pytest

from deployments.link import EngineLink
from deployments.messages import Delta, Load, Pooling
from tests.unit.fakes import FakeClock, until
from tests.unit.peers import ScriptedEngine, identity, start, tell, ticket, welcomed


class TestBooks:
    async def test_count_a_prompt_until_something_comes_of_it(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            tickets = [ticket(prompt=[1] * 30), ticket(prompt=[1] * 12)]
            for each in tickets:
                link.submit(each)
            assert link.prefilling == 42
            await tell(link, peer, Delta(identity(tickets[0]), "a", [1]))
            assert link.prefilling == 12

    async def test_count_what_is_cached_as_taken_in(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, _):
            link.submit(ticket(prompt=[1] * 30), cached=16)
            assert link.prefilling == 14

    async def test_count_at_least_one_token_for_each_sequence(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        """What is cached entirely has its last token computed again."""
        async with welcomed(engine, clock) as (link, _):
            link.submit(ticket(prompt=[1] * 30), cached=30)
            assert link.prefilling == 1

    async def test_count_what_another_engine_has_generated_as_to_be_taken_in(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, _):
            moved = ticket(prompt=[1] * 30, expected_output=10)
            moved.emitted += [7] * 4
            link.submit(moved)
            assert link.prefilling == 34
            assert link.load == 34 + 6

    async def test_have_a_load_of_all_that_is_to_be_computed(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            both = [ticket(prompt=[1] * 30, expected_output=10) for _ in range(2)]
            for each in both:
                link.submit(each)
            assert link.load == 80
            await tell(link, peer, Delta(identity(both[0]), "ab", [1, 2]))
            assert link.load == 48

    async def test_are_closed_on_an_input_that_is_pooled_with_its_vector(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            pooled = ticket(prompt=[1] * 30, sampling=Pooling("embed"), expected_output=0)
            link.submit(pooled)
            assert link.load == 30 + 1  # for the step that it takes
            await tell(link, peer, Delta(identity(pooled), "", [], "stop", vector=b"1234"))
            assert (link.prefilling, link.load, link.in_flight) == (0, 0, 0)
            assert [delta.vector for _, delta in await pooled.stream.read()] == [b"1234"]

    async def test_take_other_routers_sequences_to_be_like_ours(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, _):
            link.submit(ticket(prompt=[1] * 30, expected_output=10))
            link.others = 3
            assert link.load == 40 + 3 * 40

    async def test_count_other_routers_sequences_where_there_are_none_of_ours(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock, Load(running=2)) as (link, _):
            assert link.load > 0

    async def test_have_no_load_less_than_none(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            one = ticket(expected_output=2)
            link.submit(one)
            await tell(link, peer, Delta(identity(one), "much", [1] * 50))
            assert link.load == 0

    @pytest.mark.parametrize("begun", [0, 1, 3, 9], ids="{} tokens before".format)
    @pytest.mark.parametrize("end", ["stop", "error", "withdrawn", "taken", "lost"])
    async def test_are_closed_with_the_last_sequence_however_it_ends(
        self, engine: ScriptedEngine, clock: FakeClock, begun: int, end: str
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            one = ticket(prompt=[1] * 30, expected_output=5)
            link.submit(one, cached=16)
            name = identity(one)
            if begun:
                await tell(link, peer, Delta(name, "x", [1] * begun))
            if end == "stop":
                await tell(link, peer, Delta(name, "x", [1, 1], "stop"))
            elif end == "error":
                await tell(link, peer, Delta(name, "", [], "error"))
            elif end == "withdrawn":
                link.withdraw(one)
            elif end == "taken":
                link.take_all()
            else:
                peer.connection.abort()
                await until(lambda: not link.in_flight)
            assert (link.in_flight, link.prefilling, link.load, link._owed) == (0, 0, 0, 0)
            [hop] = one.hops
            assert (hop.engine, hop.first_at is not None, hop.left_at) == (
                link.name,
                begun > 0 or end == "stop",
                clock.now,
            )
            assert hop.outcome == OUTCOMES[end]


OUTCOMES = {
    "stop": "finished",
    "error": "failed",
    "withdrawn": "aborted",
    "taken": "aborted",
    "lost": "failed",
}
"""Of a stay with an engine, by how it ended."""


class TestRoom:
    async def test_is_what_the_engine_has_left_for_us(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock, Load(running=2)) as (link, _):
            start(link, 3)
            assert link.room.slots == 3

    async def test_is_shared_with_the_other_routers(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock, Load(routers=2)) as (link, _):
            assert link.room.slots == 4

    async def test_is_in_the_cache_too(self, engine: ScriptedEngine, clock: FakeClock) -> None:
        async with welcomed(engine, clock, Load(running=1, kv_cache_usage=0.5)) as (link, _):
            assert link.room.fits(1000)
            assert not link.room.fits(2000)


class TestBreaker:
    """It is open: three failures have come, and it has waited its time."""

    @staticmethod
    def half_open(link: EngineLink, clock: FakeClock) -> None:
        for _ in range(link.breaker.failures):
            link.breaker.failed(clock())
        clock.advance(link.breaker.open_s)
        assert link.breaker.allows(clock())

    async def test_lets_one_sequence_pass_until_it_has_told(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            self.half_open(link, clock)
            _, [probe] = start(link)
            assert not link.breaker.allows(clock())
            await tell(link, peer, Delta(identity(probe), "a", [1]))
            assert link.breaker.state == "closed"

    async def test_lets_another_pass_when_the_probe_has_left(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, _):
            self.half_open(link, clock)
            _, [probe] = start(link)
            link.withdraw(probe)
            assert link.breaker.state == "half_open"
            assert link.breaker.allows(clock())

    async def test_waits_for_the_probe_when_another_has_left(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, _):
            _, [other] = start(link)
            self.half_open(link, clock)
            start(link)
            link.withdraw(other)
            assert not link.breaker.allows(clock())

    async def test_lets_another_pass_when_the_engine_refused_the_probe(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            self.half_open(link, clock)
            _, [probe] = start(link)
            await tell(link, peer, Delta(identity(probe), "", [], "error", bad_request=True))
            assert link.breaker.allows(clock())
