"""A router's end of a connection to an engine: what it sends, and what it makes of the answers."""

from deployments.engine_server import BEAT_S
from deployments.link import LATE_AFTER_S, LOST_AFTER_S, SILENT_AFTER_S
from deployments.messages import PROTOCOL, Abort, Delta, Hello, Load, Step, Submit
from deployments.scheduling.terms import Terms
from deployments.stream import Stream
from tests.unit.fakes import SECRET, FakeClock, FakeEngine, serving, until
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
            assert await engine.submitted(peer, 5) == [identity(t) for t in first + second]
            assert len(peer.of(Submit)) == 1
            start(link)
            await engine.submitted(peer, 6)
            assert len(peer.of(Submit)) == 2

    async def test_sends_a_sequence_as_its_ticket_has_it(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            moved = ticket(prompt=[4, 5], terms=Terms(cache_salt="pepper"))
            moved.emitted += [7, 8]
            link.submit(moved)
            [sequence] = (await peer.hears(Submit)).sequences
            assert sequence == moved.sequence(identity(moved))
            assert (sequence.emitted_token_ids, sequence.cache_salt) == ([7, 8], "pepper")

    @on_both_loops
    async def test_all_that_is_withdrawn_in_one_turn_goes_in_one_message(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            _, tickets = start(link, 3)
            ids = await engine.submitted(peer, 3)
            for each in tickets:
                link.withdraw(each)
            assert await peer.hears(Abort) == Abort(ids)
            assert link.in_flight == 0
            assert [each.place for each in tickets] == [None] * 3

    async def test_what_starts_and_is_withdrawn_in_one_turn_is_sent_in_that_order(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            _, [gone] = start(link)
            link.withdraw(gone)
            await peer.hears(Abort)
            assert [type(message) for message in peer.received] == [Hello, Submit, Abort]

    async def test_what_comes_back_later_has_a_new_id(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            _, [moved] = start(link)
            link.withdraw(moved)
            link.submit(moved)
            first, second = await engine.submitted(peer, 2)
            assert first != second == identity(moved)

    async def test_everything_can_be_taken_back_at_once(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        dispatch = Recorder()
        async with welcomed(engine, clock, dispatch=dispatch) as (link, peer):
            _, tickets = start(link, 3)
            ids = await engine.submitted(peer, 3)
            assert link.take_all() == tickets
            assert await peer.hears(Abort) == Abort(ids)
            assert link.tickets == []
        assert dispatch.told == []


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

    async def test_are_remembered_for_another_engine_to_go_on_behind_them(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            _, [begun] = start(link)
            await tell(link, peer, Delta(identity(begun), "", [7]))  # held back, yet generated
            await tell(link, peer, Delta(identity(begun), "bc", [8, 9]))
            assert begun.emitted == [7, 8, 9]

    async def test_of_a_sequence_that_was_withdrawn_go_nowhere(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        dispatch = Recorder()
        async with welcomed(engine, clock, dispatch=dispatch) as (link, peer):
            stream, [gone, kept] = start(link, 2)
            late = Delta(identity(gone), "a", [1])
            link.withdraw(gone)
            await tell(link, peer, late, Delta(identity(kept), "b", [1]), Delta(99, "c", []))
            assert [(i, delta.text) for i, delta in await stream.read()] == [(1, "b")]
            assert gone.emitted == []
            assert dispatch.told == [("began", kept)]
            assert dispatch.tokens[-1] == 1

    async def test_a_reader_may_leave_while_a_step_is_delivered(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            stream = Stream(1, 1)
            slow = ticket(stream)
            link.submit(slow)
            name = identity(slow)
            stream.on_overflow = lambda: link.withdraw(slow)
            await tell(link, peer, Delta(name, "long", [1]), Delta(name, "x", [1]))
            assert await peer.hears(Abort) == Abort([name])
            assert [delta.text for _, delta in await stream.read()] == ["long"]
            assert link.load == 0


class TestTelling:
    async def test_of_a_beginning_once(self, engine: ScriptedEngine, clock: FakeClock) -> None:
        dispatch = Recorder()
        async with welcomed(engine, clock, dispatch=dispatch) as (link, peer):
            _, [begun] = start(link)
            clock.advance(0.25)
            await tell(link, peer, Delta(identity(begun), "a", [1]))
            await tell(link, peer, Delta(identity(begun), "b", [1]))
            assert dispatch.told == [("began", begun)]
            assert (begun.placed_at, begun.first_at) == (1000.0, 1000.25)

    async def test_of_a_beginning_again_by_another_engine(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        dispatch = Recorder()
        async with welcomed(engine, clock, dispatch=dispatch) as (link, peer):
            _, [moved] = start(link)
            await tell(link, peer, Delta(identity(moved), "a", [1]))
            link.withdraw(moved)
            link.submit(moved)
            await tell(link, peer, Delta(identity(moved), "b", [1]))
            assert dispatch.told == [("began", moved), ("began", moved)]

    async def test_of_beginning_and_end_before_the_reader_gets_the_delta(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        stream = Stream(1, 100)

        class Watching(Recorder):
            def began(self, *about: object) -> None:
                super().began(*about)  # type: ignore[arg-type]
                assert not stream.has_pending

            def ended(self, *about: object) -> None:
                super().ended(*about)  # type: ignore[arg-type]
                assert not stream.has_pending

        dispatch = Watching()
        async with welcomed(engine, clock, dispatch=dispatch) as (link, peer):
            one = ticket(stream)
            link.submit(one)
            last = Delta(identity(one), "all", [1], "stop")
            await tell(link, peer, last)
            assert dispatch.told == [("began", one), ("ended", one, last)]
            assert one.emitted == [1]
            assert one.place is None
            assert [delta.text for _, delta in await stream.read()] == ["all"]

    async def test_of_an_error_is_all_that_is_done_about_it(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        dispatch = Recorder()
        async with welcomed(engine, clock, dispatch=dispatch) as (link, peer):
            stream, [failed] = start(link)
            error = Delta(identity(failed), "", [], "error", error="no")
            await tell(link, peer, error)
            assert dispatch.told == [("ended", failed, error)]
            assert (failed.place, failed.first_at) == (None, None)
            assert not stream.has_pending
            assert stream.unfinished == 1

    async def test_of_an_error_counts_no_token_that_the_client_will_not_get(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        dispatch = Recorder()
        async with welcomed(engine, clock, dispatch=dispatch) as (link, peer):
            _, [failed] = start(link)
            await tell(link, peer, Delta(identity(failed), "a", [7]))
            await tell(link, peer, Delta(identity(failed), "b", [8], "error"))
            assert failed.emitted == [7]
            assert dispatch.tokens[-1] == 0
            assert link.load == 0

    async def test_of_each_message_and_how_many_tokens_it_brought(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        dispatch = Recorder()
        async with welcomed(engine, clock, dispatch=dispatch) as (link, peer):
            _, tickets = start(link, 2)
            await tell(link, peer, *(Delta(identity(t), "ab", [1, 2]) for t in tickets))
            await tell(link, peer)
            assert dispatch.tokens == [0, 4, 0]


class TestHealth:
    async def test_an_engine_that_has_not_answered_the_hello_gets_no_work(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with linked(engine.replica, clock) as link:
            peer = await engine.router()
            assert (link.beats, link.takes_work) == (False, False)
            peer.send(Step([], Load()))
            await until(lambda: link.takes_work)

    async def test_an_engine_that_is_late_gets_no_work_until_it_is_heard_again(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            clock.advance(LATE_AFTER_S - 0.1)
            assert link.takes_work
            clock.advance(0.2)
            assert (link.beats, link.takes_work) == (True, False)
            peer.send(Step([], Load()))
            await until(lambda: link.takes_work)

    async def test_an_engine_that_is_silent_does_not_beat(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, _):
            clock.advance(SILENT_AFTER_S - 0.1)
            assert link.beats
            clock.advance(0.2)
            assert not link.beats

    async def test_an_engine_that_makes_no_progress_does_not_beat(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock, Load(progressing=False)) as (link, _):
            assert (link.beats, link.takes_work) == (False, False)

    async def test_an_engine_that_drains_beats_and_gets_no_work(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock, Load(draining=True)) as (link, _):
            assert link.beats
            assert not link.takes_work

    async def test_others_are_what_the_engine_has_beyond_our_own(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        load = Load(running=4, waiting=3)
        async with welcomed(engine, clock, load) as (link, peer):
            assert link.others == 7
            start(link, 2)
            peer.send(Step([], load))
            await until(lambda: link.others == 5)

    async def test_others_are_never_less_than_none(
        self, engine: ScriptedEngine, clock: FakeClock
    ) -> None:
        async with welcomed(engine, clock) as (link, peer):
            start(link, 2)
            peer.send(Step([], Load(waiting=1)))
            await until(lambda: link.report.waiting == 1)
            assert link.others == 0


def test_work_is_withheld_before_an_engine_counts_as_silent_and_silence_before_loss() -> None:
    assert 2 * BEAT_S < LATE_AFTER_S < 1 < SILENT_AFTER_S < LOST_AFTER_S
