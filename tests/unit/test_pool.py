"""The engines of one model: who is there, who is leaving, and what becomes of what they had."""

import asyncio

import pytest

from deployments.directory import Replica
from deployments.dispatcher import GRACE_S
from deployments.errors import EngineFailed, EngineUnavailable
from deployments.messages import Delta, Load, Step, Submit
from deployments.pool import EnginePool
from deployments.scheduling.placement import PrefixAffinity
from deployments.scheduling.terms import Terms
from deployments.stream import Stream
from tests.unit.fakes import FACTS, FakeClock, FakeEngine, serving, until
from tests.unit.peers import SAMPLING, ScriptedEngine
from tests.unit.pools import ask, ready, waiting

NOWHERE = Replica("nowhere", "127.0.0.1", 1, "secret", {**FACTS, "max_model_len": 7})


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
            stream = ask(engines)
            owner, sequence = await served.engine.next_submitted()
            engines.update([])
            ask(engines)
            assert waiting(engines) == 1, "it gets nothing new"
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
        ask(engines)
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


class TestSending:
    async def test_is_refused_when_there_has_been_no_engine_for_a_while(
        self, engines: EnginePool, clock: FakeClock
    ) -> None:
        clock.advance(GRACE_S)
        with pytest.raises(EngineUnavailable) as caught:
            ask(engines)
        assert caught.value.retry_after_s > 0

    async def test_is_refused_when_no_engine_has_answered_for_a_while(
        self, engines: EnginePool, clock: FakeClock
    ) -> None:
        engines.update([NOWHERE])
        clock.advance(GRACE_S)
        with pytest.raises(EngineUnavailable):
            ask(engines)

    async def test_waits_for_the_first_engine_for_a_while(
        self, engines: EnginePool, one: ScriptedEngine
    ) -> None:
        stream = ask(engines)
        engines.update([one.replica])
        peer = await one.welcome()
        [sequence_id] = await one.submitted(peer, 1)
        peer.send(Step([Delta(sequence_id, "at last", [1], "stop")], Load()))
        assert [delta.text for _, delta in await stream.read()] == ["at last"]

    async def test_ends_with_an_error_when_no_engine_comes_in_time(
        self, engines: EnginePool, clock: FakeClock
    ) -> None:
        stream = ask(engines)
        clock.advance(GRACE_S)
        with pytest.raises(EngineUnavailable):
            await asyncio.wait_for(stream.read(), 5)

    async def test_goes_to_the_engine_with_the_least_to_do(
        self, engines: EnginePool, one: ScriptedEngine, two: ScriptedEngine
    ) -> None:
        engines.update([one.replica, two.replica])
        busy = await one.welcome(load=Load(running=2))
        free = await two.welcome()
        await ready(engines, 2)
        ask(engines)
        await two.submitted(free, 1)
        assert not busy.of(Submit)

    @pytest.mark.parametrize("load", [Load(draining=True), Load(progressing=False)])
    async def test_passes_over_an_engine_that_takes_no_work(
        self, engines: EnginePool, one: ScriptedEngine, two: ScriptedEngine, load: Load
    ) -> None:
        engines.update([one.replica, two.replica])
        await one.welcome(load=load)
        peer = await two.welcome(load=Load(running=5))
        await until(lambda: {link.report for link in engines.links} == {load, Load(running=5)})
        ask(engines)
        await two.submitted(peer, 1)

    async def test_waits_while_all_engines_are_full(
        self, engines: EnginePool, one: ScriptedEngine
    ) -> None:
        engines.update([one.replica])
        peer = await one.welcome(load=Load(running=FACTS["max_num_seqs"]))
        await ready(engines, 1)
        ask(engines)
        assert waiting(engines) == 1
        peer.send(Step([], Load(running=FACTS["max_num_seqs"] - 1)))
        await one.submitted(peer, 1)
        assert waiting(engines) == 0


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
        assert engines.facts == {**FACTS, "max_model_len": 7}

    async def test_has_no_facts_without_an_engine(self, engines: EnginePool) -> None:
        with pytest.raises(EngineUnavailable):
            _ = engines.facts

    async def test_has_no_facts_of_an_engine_that_has_gone(
        self, engines: EnginePool, one: ScriptedEngine
    ) -> None:
        engines.update([NOWHERE])
        engines.update([one.replica])
        assert engines.facts == FACTS


class TestLeaving:
    async def test_is_forgotten_with_all_that_was_known_of_it(
        self, engines: EnginePool, one: ScriptedEngine
    ) -> None:
        """Replicas come and go for as long as a router lives."""
        engines.update([one.replica])
        peer = await one.welcome()
        await ready(engines, 1)
        stream = Stream(1, 100)
        engines.dispatcher.admit([([1] * 64, SAMPLING)], Terms(), stream)
        [sequence_id] = await one.submitted(peer, 1)
        peer.send(Step([Delta(sequence_id, "a", [1], "stop")], Load()))
        await stream.read()
        placement = engines.dispatcher._placer._placement
        assert isinstance(placement, PrefixAffinity)
        assert placement._index._caches
        engines.update([])
        assert not placement._index._caches
        await peer.is_cut_off()


class TestClosing:
    async def test_fails_what_is_under_way_here_and_on_leaving_engines(
        self, engines: EnginePool, one: ScriptedEngine, two: ScriptedEngine
    ) -> None:
        streams = []
        for engine in (one, two):
            engines.update([engine.replica])
            await engine.welcome()
            await ready(engines, 1)
            streams.append(ask(engines))
        await engines.close()
        for stream in streams:
            with pytest.raises(EngineFailed):
                await stream.read()

    async def test_fails_what_waits(self, engines: EnginePool) -> None:
        stream = ask(engines)
        await engines.close()
        with pytest.raises(EngineFailed):
            await stream.read()

    async def test_takes_nothing_in_any_more(
        self, engines: EnginePool, one: ScriptedEngine
    ) -> None:
        engines.update([one.replica])
        await one.welcome()
        await ready(engines, 1)
        await engines.close()
        with pytest.raises(EngineUnavailable):
            ask(engines)

    async def test_waits_for_links_that_are_just_being_closed(
        self, engines: EnginePool, one: ScriptedEngine
    ) -> None:
        engines.update([one.replica])
        await one.welcome()
        engines.update([])
        await engines.close()
        assert not engines._closing
