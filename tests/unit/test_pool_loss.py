"""The engines of one model: what becomes of what they had when one falls silent or stalls."""

import asyncio

import pytest

from deployments import pool
from deployments.dispatcher import GRACE_S
from deployments.errors import EngineFailed
from deployments.link import LOST_AFTER_S
from deployments.messages import Abort, Delta, Load, Step, Submit
from deployments.pool import EnginePool
from tests.unit.fakes import FakeClock, until
from tests.unit.peers import ScriptedEngine
from tests.unit.pools import ask, ready, waiting


class TestSilence:
    async def test_of_an_engine_loses_what_it_had_and_it_is_tried_again(
        self, engines: EnginePool, one: ScriptedEngine, clock: FakeClock
    ) -> None:
        engines.update([one.replica])
        peer = await one.welcome()
        await ready(engines, 1)
        ask(engines)
        await one.submitted(peer, 1)
        clock.advance(LOST_AFTER_S - 0.1)
        engines._look()
        assert peer.lost == 0
        clock.advance(0.2)
        await peer.is_cut_off()
        again = await one.welcome(2)
        await one.submitted(again, 1)

    async def test_of_the_only_engine_fails_what_it_had_after_a_while(
        self, engines: EnginePool, one: ScriptedEngine, clock: FakeClock
    ) -> None:
        engines.update([one.replica])
        peer = await one.welcome()
        await ready(engines, 1)
        stream = ask(engines)
        [sequence_id] = await one.submitted(peer, 1)
        peer.send(Step([Delta(sequence_id, "a", [1])], Load()))
        await stream.read()
        clock.advance(LOST_AFTER_S + 0.1)
        await peer.is_cut_off()
        await one.router(2)
        await until(lambda: waiting(engines) or stream._error, "it has been given back")
        clock.advance(GRACE_S)
        with pytest.raises(EngineFailed):
            await asyncio.wait_for(stream.read(), 5)

    async def test_of_a_leaving_engine_lets_another_go_on(
        self, engines: EnginePool, one: ScriptedEngine, two: ScriptedEngine, clock: FakeClock
    ) -> None:
        engines.update([one.replica])
        silent = await one.welcome()
        await ready(engines, 1)
        ask(engines)
        await one.submitted(silent, 1)
        clock.advance(LOST_AFTER_S - 0.5)
        engines.update([two.replica])
        other = await two.welcome()
        await ready(engines, 1)
        clock.advance(0.6)
        await two.submitted(other, 1)
        await until(lambda: not engines._leaving)

    async def test_is_not_concluded_from_a_standstill_of_the_router_itself(
        self,
        one: ScriptedEngine,
        clock: FakeClock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """What has come meanwhile may be read only after the pool has looked at its links."""
        monkeypatch.setattr(pool, "_CHECK_S", 3600)
        engines = EnginePool("router", now=clock)
        engines.update([one.replica])
        peer = await one.welcome()
        await ready(engines, 1)
        peer.send(Step([], Load()))
        clock.advance(11)
        engines._look()
        await ready(engines, 1)
        assert len(one.peers) == 1
        await engines.close()

    async def test_of_an_engine_lets_another_go_on(
        self, engines: EnginePool, one: ScriptedEngine, two: ScriptedEngine, clock: FakeClock
    ) -> None:
        engines.update([one.replica])
        silent = await one.welcome()
        await ready(engines, 1)
        stream = ask(engines)
        [sequence_id] = await one.submitted(silent, 1)
        silent.send(Step([Delta(sequence_id, "ab", [7, 8])], Load()))
        assert [delta.text for _, delta in await stream.read()] == ["ab"]
        clock.advance(LOST_AFTER_S - 0.5)
        engines.update([one.replica, two.replica])
        other = await two.welcome()
        await ready(engines, 1)
        clock.advance(0.6)
        [sequence] = (await other.hears(Submit)).sequences
        assert sequence.emitted_token_ids == [7, 8]
        other.send(Step([Delta(sequence.id, "c", [9], "stop")], Load()))
        assert [delta.text for _, delta in await stream.read()] == ["c"]


class TestStall:
    async def test_of_an_engine_lets_another_go_on_at_once(
        self, engines: EnginePool, one: ScriptedEngine, two: ScriptedEngine
    ) -> None:
        engines.update([one.replica])
        stalled = await one.welcome()
        await ready(engines, 1)
        ask(engines)
        [sequence_id] = await one.submitted(stalled, 1)
        engines.update([one.replica, two.replica])
        other = await two.welcome()
        await ready(engines, 2)
        stalled.send(Step([], Load(progressing=False)))
        await two.submitted(other, 1)
        assert await stalled.hears(Abort) == Abort([sequence_id])

    async def test_of_a_leaving_engine_lets_another_go_on_at_once(
        self, engines: EnginePool, one: ScriptedEngine, two: ScriptedEngine
    ) -> None:
        engines.update([one.replica])
        stalled = await one.welcome()
        await ready(engines, 1)
        ask(engines)
        await one.submitted(stalled, 1)
        engines.update([two.replica])
        other = await two.welcome()
        await ready(engines, 1)
        stalled.send(Step([], Load(progressing=False)))
        await two.submitted(other, 1)


async def test_an_error_in_looking_after_engines_does_not_end_it(
    engines: EnginePool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        raise ZeroDivisionError

    monkeypatch.setattr(engines, "_look", look)
    await until(lambda: looks > 2, "it looks again")
    assert "Looking after the engines failed" in caplog.text
