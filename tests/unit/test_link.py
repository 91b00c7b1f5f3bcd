"""A router's end of a connection to an engine: what it sends, and what it makes of the answers."""

from deployments.link import BEAT_TIMEOUT_S
from deployments.messages import PROTOCOL, Abort, Delta, Hello, Load, Step, Submit
from deployments.stream import Stream
from tests.unit.fakes import SECRET, FakeClock, FakeEngine, serving, until
from tests.unit.loops import on_both_loops
from tests.unit.peers import (
    SAMPLING,
    ScriptedEngine,
    linked,
    start,
    welcomed,
)


class TestSending:
    @on_both_loops
    async def test_says_hello_first(self, engine: ScriptedEngine, clock: FakeClock) -> None:
        async with linked(engine.replica, clock):
            peer = await engine.router()
            assert peer.received == [Hello(PROTOCOL, "router", SECRET)]

    @on_both_loops
    async def test_all_that_starts_in_one_turn_of_the_loop_goes_in_one_message(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            _, first = start(link, 3)
            _, second = start(link, 2)
            assert await engine.submitted(peer, 5) == first + second
            assert len(peer.of(Submit)) == 1
            start(link)
            await engine.submitted(peer, 6)
            assert len(peer.of(Submit)) == 2

    async def test_sends_prompt_and_sampling_as_they_are(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            start(link)
            [sequence] = (await peer.hears(Submit)).sequences
            assert (sequence.prompt_token_ids, sequence.sampling) == ([1, 2], SAMPLING)

    @on_both_loops
    async def test_all_that_is_forgotten_in_one_turn_goes_in_one_message(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            _, ids = start(link, 3)
            await engine.submitted(peer, 3)
            for sequence_id in ids:
                link.forget(sequence_id)
            assert await peer.hears(Abort) == Abort(ids)
            assert link.in_flight == 0

    async def test_what_starts_and_is_forgotten_in_one_turn_is_sent_in_that_order(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            _, [sequence_id] = start(link)
            link.forget(sequence_id)
            await peer.hears(Abort)
            assert [type(message) for message in peer.received] == [Hello, Submit, Abort]

    async def test_what_has_ended_or_was_never_there_is_not_aborted(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            stream, [ended, other] = start(link, 2)
            peer.send(Step([Delta(ended, "", [1], "stop")], Load()))
            await stream.read()
            for sequence_id in (ended, other, other, 999):
                link.forget(sequence_id)
            assert await peer.hears(Abort) == Abort([other])
            start(link)
            await engine.submitted(peer, 3)
            assert len(peer.of(Abort)) == 1


class TestDeltas:
    @on_both_loops
    async def test_reach_their_streams_under_their_indexes(self, clock: FakeClock) -> None:
        async with (
            serving(FakeEngine(echo=3), now=clock) as served,
            linked(served.replica, clock) as link,
        ):
            await until(lambda: link.takes_work)
            stream, _ = start(link, 2)
            texts = {0: "", 1: ""}
            while portion := await stream.read():
                for index, delta in portion:
                    texts[index] += delta.text
            assert texts == {0: "w0 w1 w2 ", 1: "w0 w1 w2 "}
            assert link.in_flight == 0

    async def test_of_a_forgotten_sequence_go_nowhere(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            stream, [gone, kept] = start(link, 2)
            link.forget(gone)
            peer.send(
                Step([Delta(gone, "a", [1]), Delta(kept, "b", [1]), Delta(99, "c", [])], Load())
            )
            assert [(i, delta.text) for i, delta in await stream.read()] == [(1, "b")]

    async def test_a_reader_may_forget_its_sequence_while_a_step_is_delivered(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            stream = Stream(1, 1)
            sequence_id = link.submit([1], SAMPLING, stream, 0)
            stream.on_overflow = lambda: link.forget(sequence_id)
            peer.send(Step([Delta(sequence_id, "long", [1]), Delta(sequence_id, "x", [1])], Load()))
            assert await peer.hears(Abort) == Abort([sequence_id])
            assert [delta.text for _, delta in await stream.read()] == ["long"]


class TestHealth:
    async def test_an_engine_that_has_not_answered_the_hello_gets_no_work(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with linked(engine.replica, clock) as link:
            peer = await engine.router()
            assert (link.beats, link.takes_work) == (False, False)
            peer.send(Step([], Load()))
            await until(lambda: link.takes_work)

    async def test_an_engine_is_alive_until_it_has_been_silent_for_too_long(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            clock.advance(BEAT_TIMEOUT_S - 0.1)
            assert (link.beats, link.takes_work) == (True, True)
            clock.advance(0.2)
            assert (link.beats, link.takes_work) == (False, False)
            peer.send(Step([], Load()))
            await until(lambda: link.takes_work)

    async def test_an_engine_that_makes_no_progress_does_not_beat(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock, Load(progressing=False)) as (link, _):
            assert not link.beats

    async def test_an_engine_that_drains_beats_and_gets_no_work(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock, Load(draining=True)) as (link, _):
            assert link.beats
            assert not link.takes_work

    async def test_others_are_what_the_engine_has_beyond_our_own(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        load = Load(running=4, waiting=3, kv_cache_usage=0.5)
        async with welcomed(engine, clock, load) as (link, peer):
            assert (link.others, link.kv_cache_usage) == (7, 0.5)
            start(link, 2)
            peer.send(Step([], load))
            await until(lambda: link.others == 5)

    async def test_others_are_never_less_than_none(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            start(link, 2)
            peer.send(Step([], Load(waiting=1)))
            await until(lambda: link.load.waiting == 1)
            assert link.others == 0
