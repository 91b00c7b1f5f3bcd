"""The engines of one model: who is there, who is leaving, and who gets the next sequence."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from deployments import link, pool
from deployments.directory import Replica
from deployments.errors import EngineFailed, EngineUnavailable
from deployments.messages import Load, Step
from deployments.pool import EnginePool
from deployments.stream import Stream
from tests.unit.fakes import FACTS, FakeClock, FakeEngine, serving, until
from tests.unit.peers import SAMPLING, ScriptedEngine, scripted_engine

NOWHERE = Replica("nowhere", "127.0.0.1", 1, "secret", {"max_model_len": 7})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_CHECK_S", 0.005)
    monkeypatch.setattr(link, "_FIRST_RETRY_S", 0.002)


@pytest.fixture
async def engines(clock: FakeClock) -> AsyncIterator[EnginePool]:
    engines = EnginePool("router", clock)
    yield engines
    await engines.close()


@pytest.fixture
async def one() -> AsyncIterator[ScriptedEngine]:
    async with scripted_engine("one") as engine:
        yield engine


@pytest.fixture
async def two() -> AsyncIterator[ScriptedEngine]:
    async with scripted_engine("two") as engine:
        yield engine


async def ready(engines: EnginePool, count: int) -> None:
    await until(lambda: sum(link.takes_work for link in engines.links) == count)


async def silence(engines: EnginePool, seconds: float, clock: FakeClock) -> None:
    """Nothing comes for so long, and the pool looks at its links meanwhile."""
    clock.advance(seconds)
    await until(lambda: not any(link.beats for link in engines.links))


class TestUpdate:
    async def test_connects_to_each_replica_once(
        self, engines: EnginePool, one: ScriptedEngine, two: ScriptedEngine
    ) -> None:
        engines.update([one.replica])
        engines.update([one.replica, two.replica])
        engines.update([two.replica, one.replica])
        await one.welcome()
        await two.welcome()
        await ready(engines, 2)
        assert sorted(link.replica.id for link in engines.links) == ["one", "two"]
        assert (len(one.peers), len(two.peers)) == (1, 1)

    async def test_disconnects_from_a_replica_that_has_gone(
        self, engines: EnginePool, one: ScriptedEngine, two: ScriptedEngine
    ) -> None:
        engines.update([one.replica, two.replica])
        peer = await one.welcome()
        engines.update([two.replica])
        await peer.is_cut_off()
        assert [link.replica.id for link in engines.links] == ["two"]

    async def test_lets_a_leaving_replica_finish_and_then_disconnects(
        self, engines: EnginePool, clock: FakeClock
    ) -> None:
        async with serving(FakeEngine(now=clock), now=clock) as served:
            engines.update([served.replica])
            await ready(engines, 1)
            stream = Stream(1, 100)
            engines.place().submit([1], SAMPLING, stream, 0)
            owner, sequence = await served.engine.next_submitted()
            engines.update([])
            with pytest.raises(EngineUnavailable):
                engines.place()
            served.engine.say(owner, sequence.id, "a")
            assert [delta.text for _, delta in await stream.read()] == ["a"]
            served.engine.finish(owner, sequence.id, "b")
            assert [delta.text for _, delta in await stream.read()] == ["b"]
            await until(lambda: not served.server._inboxes, "the router has left")

    async def test_takes_a_replica_back_with_the_link_it_had(
        self, engines: EnginePool, one: ScriptedEngine
    ) -> None:
        engines.update([one.replica])
        await one.welcome()
        await ready(engines, 1)
        engines.place().submit([1], SAMPLING, Stream(1, 100), 0)
        [before] = engines.links
        engines.update([])
        engines.update([one.replica])
        assert engines.links == [before]
        assert len(one.peers) == 1

    async def test_after_the_end_does_nothing(
        self, engines: EnginePool, one: ScriptedEngine
    ) -> None:
        await engines.close()
        engines.update([one.replica])  # Serve's thread does not wait for us
        assert engines.links == []


class TestPlace:
    async def test_is_refused_while_there_is_no_engine(self, engines: EnginePool) -> None:
        with pytest.raises(EngineUnavailable) as caught:
            engines.place()
        assert caught.value.retry_after_s > 0

    async def test_is_refused_while_no_engine_answers(self, engines: EnginePool) -> None:
        engines.update([NOWHERE])
        with pytest.raises(EngineUnavailable):
            engines.place()

    async def test_goes_to_the_engine_with_the_fewest_sequences(
        self, engines: EnginePool, one: ScriptedEngine, two: ScriptedEngine
    ) -> None:
        engines.update([one.replica, two.replica])
        await one.welcome(load=Load(running=2))
        await two.welcome()
        await ready(engines, 2)
        placed = []
        for _ in range(4):
            link = engines.place()
            link.submit([1], SAMPLING, Stream(1, 100), 0)
            placed.append(link.replica.id)
        assert placed[:2] == ["two", "two"]
        assert sorted(placed[2:]) == ["one", "two"]

    @pytest.mark.parametrize("load", [Load(draining=True), Load(progressing=False)])
    async def test_passes_over_an_engine_that_takes_no_work(
        self, engines: EnginePool, one: ScriptedEngine, two: ScriptedEngine, load: Load
    ) -> None:
        engines.update([one.replica, two.replica])
        await one.welcome(load=load)
        await two.welcome(load=Load(running=50))
        await until(lambda: {link.load for link in engines.links} == {load, Load(running=50)})
        assert engines.place().replica.id == "two"


class TestState:
    async def test_is_ready_while_an_engine_beats(
        self, engines: EnginePool, one: ScriptedEngine, clock: FakeClock
    ) -> None:
        assert not engines.ready
        engines.update([one.replica, NOWHERE])
        await one.welcome(load=Load(draining=True))
        await until(lambda: engines.ready)
        await silence(engines, 3.5, clock)
        assert [engines.ready] == [False]

    async def test_has_the_facts_of_any_engine_that_runs(self, engines: EnginePool) -> None:
        engines.update([NOWHERE])
        assert engines.facts == {"max_model_len": 7}

    async def test_has_no_facts_without_an_engine(self, engines: EnginePool) -> None:
        with pytest.raises(EngineUnavailable):
            _ = engines.facts

    async def test_has_no_facts_of_an_engine_that_has_gone(
        self, engines: EnginePool, one: ScriptedEngine
    ) -> None:
        engines.update([NOWHERE])
        engines.update([one.replica])
        assert engines.facts == FACTS


class TestSilence:
    async def test_of_an_engine_fails_what_it_had_and_it_is_tried_again(
        self, engines: EnginePool, one: ScriptedEngine, clock: FakeClock
    ) -> None:
        engines.update([one.replica])
        peer = await one.welcome()
        await ready(engines, 1)
        stream = Stream(1, 100)
        engines.place().submit([1], SAMPLING, stream, 0)
        clock.advance(10.1)
        with pytest.raises(EngineFailed):
            await asyncio.wait_for(stream.read(), 5)
        await peer.is_cut_off()
        await one.router(2)

    async def test_of_a_leaving_engine_ends_what_it_had(
        self, engines: EnginePool, one: ScriptedEngine, clock: FakeClock
    ) -> None:
        engines.update([one.replica])
        await one.welcome()
        await ready(engines, 1)
        stream = Stream(1, 100)
        engines.place().submit([1], SAMPLING, stream, 0)
        engines.update([])
        clock.advance(10.1)
        with pytest.raises(EngineFailed):
            await asyncio.wait_for(stream.read(), 5)
        await until(lambda: not engines._leaving)

    async def test_is_not_concluded_from_a_standstill_of_the_router_itself(
        self,
        one: ScriptedEngine,
        clock: FakeClock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """What has come meanwhile may be read only after the pool has looked at its links."""
        monkeypatch.setattr(pool, "_CHECK_S", 3600)
        engines = EnginePool("router", clock)
        engines.update([one.replica])
        peer = await one.welcome()
        await ready(engines, 1)
        peer.send(Step([], Load()))
        clock.advance(11)
        engines._look()
        await ready(engines, 1)
        assert len(one.peers) == 1
        await engines.close()


class TestClosing:
    async def test_fails_what_is_under_way_here_and_on_leaving_engines(
        self, engines: EnginePool, one: ScriptedEngine, two: ScriptedEngine
    ) -> None:
        streams = []
        for engine in (one, two):
            engines.update([engine.replica])
            await engine.welcome()
            await ready(engines, 1)
            streams.append(Stream(1, 100))
            engines.place().submit([1], SAMPLING, streams[-1], 0)
        await engines.close()
        for stream in streams:
            with pytest.raises(EngineFailed):
                await stream.read()

    async def test_waits_for_links_that_are_just_being_closed(
        self, engines: EnginePool, one: ScriptedEngine
    ) -> None:
        engines.update([one.replica])
        await one.welcome()
        engines.update([])
        await engines.close()
        assert not engines._closing
