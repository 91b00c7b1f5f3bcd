"""What an engine replica says of itself: its beat, and whether it makes progress."""

import asyncio

import pytest

from deployments import engine_server as module
from deployments.messages import Load, Step
from deployments.progress import Progress
from tests.unit.fakes import FakeClock, Serving, serving, until
from tests.unit.loops import on_both_loops
from tests.unit.peers import deltas, router_at, submit


class TestBeats:
    def test_are_due_several_times_a_second(self) -> None:
        assert module.BEAT_S <= 0.25

    @on_both_loops
    async def test_come_to_every_router_while_nothing_else_does(
        self, quick_beats: None, served: Serving
    ) -> None:
        async with router_at(served.replica) as first, router_at(served.replica) as second:
            await first.hears(Step, 4)
            await second.hears(Step, 4)

    async def test_do_not_come_between_steps_that_follow_each_other_closely(
        self, quick_beats: None, served: Serving
    ) -> None:
        async with router_at(served.replica) as busy, router_at(served.replica) as idle:
            busy.send(submit(1))
            owner, _ = await served.engine.next_submitted()
            beats = len(busy.received)
            while len(idle.received) < 6:
                served.engine.say(owner, 1, "a")
                await asyncio.sleep(0)
            assert len(busy.received) - len(deltas(busy)) <= beats + 1

    async def test_tell_of_the_load(self, quick_beats: None, served: Serving) -> None:
        async with router_at(served.replica) as router:
            served.engine.load_figures = Load(running=9)
            await until(lambda: router.received[-1].load.running == 9)


class TestProgress:
    async def test_is_asked_for_with_a_canary_when_the_engine_is_quiet(
        self, quick_beats: None, served: Serving, clock: FakeClock
    ) -> None:
        async with router_at(served.replica) as router:
            await router.hears(Step, 3)
            assert served.engine.canaries == 0
            clock.advance(2.0)
            await until(lambda: served.engine.canaries == 1)
            await router.hears(Step, len(router.received) + 3)
            assert served.engine.canaries == 1
            assert served.server.progressing

    async def test_routers_are_told_of_an_engine_that_owes_an_answer(
        self, quick_beats: None, served: Serving, clock: FakeClock
    ) -> None:
        served.engine.canary_gate.clear()
        async with router_at(served.replica) as router:
            clock.advance(2.0)
            await until(lambda: served.engine.canaries == 1)
            clock.advance(7.9)
            await router.hears(Step, len(router.received) + 2)
            assert router.received[-1].load.progressing
            clock.advance(0.2)
            await until(lambda: not router.received[-1].load.progressing)
            assert not served.server.progressing
            served.engine.canary_gate.set()
            await until(lambda: router.received[-1].load.progressing)

    async def test_a_canary_that_fails_is_logged_and_followed_by_another(
        self,
        quick_beats: None,
        served: Serving,
        clock: FakeClock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        served.engine.canary_error = RuntimeError("no such token")
        clock.advance(2.0)
        await until(lambda: served.engine.canaries >= 2)
        assert "no such token" in caplog.text
        clock.advance(8.0)
        assert not served.server.progressing, "a canary that fails is no answer"
        served.engine.canary_error = None
        await until(lambda: served.server.progressing)

    async def test_has_its_own_patience(self, clock: FakeClock, quick_beats: None) -> None:
        patient = Progress(quiet_s=100)
        async with serving(now=clock, progress=patient) as served, router_at(served.replica) as r:
            clock.advance(99)
            await r.hears(Step, 3)
        assert served.engine.canaries == 0
