"""A router's end of a connection to an engine: how it is lost, refused, mended and closed."""

import asyncio
from dataclasses import replace

import pytest

from deployments import link as module
from deployments.directory import Replica
from deployments.link import LATE_AFTER_S, LOST_AFTER_S, EngineLink
from deployments.messages import Delta, Load, Refusal, Step
from deployments.ticket import Ticket
from tests.unit.fakes import FACTS, SECRET, FakeClock, serving, until
from tests.unit.loops import on_both_loops
from tests.unit.peers import (
    Recorder,
    ScriptedEngine,
    identity,
    linked,
    start,
    tell,
    ticket,
    welcomed,
)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_RETRY_S", 0.002)
    monkeypatch.setattr(module, "_LAST_RETRY_S", 0.002)


@pytest.fixture
def dispatch() -> Recorder:
    return Recorder()


async def lost(dispatch: Recorder, *tickets: Ticket) -> None:
    """The link says once that just these are lost, in their order, and has them no more."""
    await until(lambda: dispatch.told, "something is told")
    assert dispatch.told == [("lost", list(tickets))]
    assert [each.place for each in tickets] == [None] * len(tickets)


class TestLoss:
    @on_both_loops
    async def test_of_the_connection_loses_what_is_under_way(
        self, engine: ScriptedEngine, clock: FakeClock, dispatch: Recorder
    ) -> None:
        async with welcomed(engine, clock, dispatch=dispatch) as (link, peer):
            stream, tickets = start(link, 3)
            await engine.submitted(peer, 3)
            peer.connection.abort()
            await lost(dispatch, *tickets)
            assert link.in_flight == 0
            assert not link.takes_work
            assert not stream.has_pending

    async def test_takes_nothing_of_what_has_come(
        self, engine: ScriptedEngine, clock: FakeClock, dispatch: Recorder
    ) -> None:
        async with welcomed(engine, clock, dispatch=dispatch) as (link, peer):
            stream, [begun] = start(link)
            peer.send(Step([Delta(identity(begun), "ab", [1, 2])], Load()))
            peer.connection.close()
            await until(lambda: dispatch.lost_tickets)
            assert begun.emitted == [1, 2]
            assert [delta.text for _, delta in await stream.read()] == ["ab"]

    async def test_finds_no_engine_that_takes_work(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        """Whoever is told may look at once where the tickets can go now."""
        seen = []

        class Looking(Recorder):
            def lost(self, link: EngineLink, tickets: list[Ticket]) -> None:
                seen.append((link.takes_work, link.in_flight, link.prefilling))

        async with welcomed(engine, clock, dispatch=Looking()) as (link, peer):
            start(link, 2)
            peer.connection.abort()
            await until(lambda: seen)
        assert seen == [(False, 0, 0)]

    async def test_of_what_has_ended_or_was_withdrawn_is_none(
        self, engine: ScriptedEngine, clock: FakeClock, dispatch: Recorder
    ) -> None:
        async with welcomed(engine, clock, dispatch=dispatch) as (link, peer):
            _, [ended, gone] = start(link, 2)
            peer.send(Step([Delta(identity(ended), "a", [1], "stop")], Load()))
            await until(lambda: ended.place is None)
            link.withdraw(gone)
            peer.connection.abort()
            await until(lambda: not link.takes_work)
        assert dispatch.lost_tickets == []

    @on_both_loops
    async def test_of_the_connection_loses_what_has_not_been_sent_yet(
        self, engine: ScriptedEngine, clock: FakeClock, dispatch: Recorder
    ) -> None:
        async with welcomed(engine, clock, dispatch=dispatch) as (link, peer):
            peer.connection.abort()
            _, tickets = start(link)
            await lost(dispatch, *tickets)
            again = await engine.router(2)
            again.send(Step([], Load()))
            await until(lambda: link.takes_work)
            _, [later] = start(link)
            assert await engine.submitted(again, 1) == [identity(later)]

    @on_both_loops
    async def test_is_mended_by_connecting_again(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            peer.connection.abort()
            await engine.welcome(2)
            await until(lambda: link.takes_work)
            stream, [later] = start(link)
            engine.peers[1].send(Step([Delta(identity(later), "again", [1], "stop")], Load()))
            assert [delta.text for _, delta in await stream.read()] == ["again"]

    async def test_what_the_engine_said_before_the_loss_does_not_count_after_it(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            peer.connection.abort()
            await engine.router(2)
            assert not link.takes_work

    @on_both_loops
    async def test_an_engine_that_does_not_listen_yet_is_tried_until_it_does(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        await engine.close()
        async with linked(engine.replica, clock) as link:
            assert engine.server is not None
            await until(lambda: link._retry_s > 0)
            await engine.listen()
            await engine.welcome()
            await until(lambda: link.takes_work)

    @on_both_loops
    async def test_a_silent_engine_is_dropped_and_tried_again(
        self, engine: ScriptedEngine, clock: FakeClock, dispatch: Recorder
    ) -> None:
        async with welcomed(engine, clock, dispatch=dispatch) as (link, peer):
            _, tickets = start(link)
            clock.advance(LOST_AFTER_S)
            link.check()
            assert peer.lost == 0
            clock.advance(0.1)
            link.check()
            await lost(dispatch, *tickets)
            await engine.router(2)

    async def test_a_silence_counts_once_and_the_next_one_again(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            for missed in (1, 2):
                clock.advance(LATE_AFTER_S + 0.01)
                link.check()
                link.check()
                assert link.beats_missed == missed
                await tell(link, peer)
                link.check()

    async def test_an_engine_that_never_answers_the_hello_is_dropped(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with linked(engine.replica, clock) as link:
            peer = await engine.router()
            clock.advance(LOST_AFTER_S + 0.1)
            link.check()
            await peer.is_cut_off()
            await engine.router(2)
            link.check()  # the new connection has its own time
            await engine.welcome(2)
            await until(lambda: link.takes_work)

    @pytest.mark.parametrize("port", [-1, 70_000])
    async def test_an_address_that_cannot_be_is_reported_and_does_not_end_the_link(
        self, port: int, clock: FakeClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        nowhere = Replica("nowhere", "127.0.0.1", port, SECRET, FACTS)
        async with linked(nowhere, clock) as link:
            await until(lambda: caplog.text.count("nowhere") >= 2)
            assert not link.takes_work


class TestRefusal:
    async def test_a_router_with_the_wrong_secret_never_gets_to_send_work(
        self, clock: FakeClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with serving(now=clock) as served:
            wrong = replace(served.replica, secret="guess")
            async with linked(wrong, clock) as link:
                while caplog.text.count("without this engine's secret") < 3:
                    assert not link.takes_work
                    await asyncio.sleep(0)

    async def test_one_is_logged_with_its_reason(
        self, engine: ScriptedEngine, clock: FakeClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with linked(engine.replica, clock):
            peer = await engine.router()
            peer.send(Refusal("not you"))
            await until(lambda: "not you" in caplog.text)

    async def test_an_engine_that_refuses_is_asked_less_and_less_often(
        self, engine: ScriptedEngine, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_LAST_RETRY_S", 0.016)
        async with linked(engine.replica, clock) as link:
            for number in (1, 2, 3, 4):
                (await engine.router(number)).connection.abort()
            await until(lambda: link._retry_s == 0.016)


class TestClosing:
    @on_both_loops
    async def test_loses_what_is_under_way_and_disconnects(
        self, engine: ScriptedEngine, clock: FakeClock, dispatch: Recorder
    ) -> None:
        async with welcomed(engine, clock, dispatch=dispatch) as (link, peer):
            _, tickets = start(link, 2)
            await link.close()
            await lost(dispatch, *tickets)
            assert (link.beats, link.takes_work) == (False, False)
            await peer.is_cut_off()

    @on_both_loops
    async def test_does_not_wait_for_an_engine_that_reads_nothing(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            transport = peer.connection._transport
            assert transport is not None
            transport.pause_reading()
            link.submit(ticket(prompt=[1 << 30] * 4_000_000))
            await asyncio.sleep(0)
            connection = link._connection
            assert connection is not None
            await link.close()
            await until(lambda: connection._transport is None, within_s=1)

    async def test_ends_a_link_that_never_connected(self, clock: FakeClock) -> None:
        async with linked(Replica("nowhere", "127.0.0.1", 1, SECRET, FACTS), clock) as link:
            assert not link.beats
