"""A model that has no engine until somebody asks: who asks then waits for one."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from deployments import pool
from deployments.dispatcher import GRACE_S, Rules
from deployments.errors import DeadlineExceeded, EngineUnavailable, Overloaded
from deployments.pool import EnginePool
from deployments.scheduling.terms import Level, Terms
from serve_app.http import sse
from tests.unit.fakes import FACTS, FakeClock, Serving, until
from tests.unit.http_fixtures import (
    CHAT,
    COMPLETIONS,
    MODEL,
    Site,
    chat,
    completion,
    events,
    site,
    unfinished_events,
)
from tests.unit.pools import ask, waiting
from tests.unit.simulation import Site as Simulation

SLEEPY = Rules(may_sleep=True, max_wait_s=60)
endpoints = pytest.mark.parametrize(
    ("path", "body"), [(CHAT, chat()), (COMPLETIONS, completion("Hi"))], ids=["chat", "completions"]
)


@pytest.fixture
def frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments come many times a second."""
    monkeypatch.setattr(sse, "COMMENT_EVERY_S", 0.01)


def wake(s: Site) -> None:
    """The first engine runs now."""
    s.handle.publish(replace(s.serving.replica, facts=dict(FACTS)))


async def fall_asleep(s: Site) -> None:
    """No engine runs any more; what they can do is known."""
    s.handle.publish()
    await until(lambda: s.router.pools[MODEL].asleep)


async def asleep() -> EnginePool:
    return EnginePool("router", SLEEPY)


class TestAQueue:
    async def test_waits_for_the_first_engine_longer_than_for_a_lost_one(self) -> None:
        simulation = Simulation(engines=0, rules=SLEEPY)
        asked = simulation.ask()
        simulation.step(int(10 * GRACE_S / 0.1))
        assert not asked.has_ended
        simulation.start_engine()
        simulation.step(20)
        assert asked.is_complete
        simulation.close()

    async def test_takes_requests_in_after_any_time_without_an_engine(self) -> None:
        simulation = Simulation(engines=0, rules=SLEEPY)
        simulation.step(2000)
        assert simulation.ask().error is None
        simulation.close()

    async def test_waits_no_longer_than_it_may(self) -> None:
        simulation = Simulation(engines=0, rules=SLEEPY)
        asked = simulation.ask()
        simulation.step(610)
        assert isinstance(asked.failure, DeadlineExceeded)
        simulation.close()

    async def test_keeps_the_deadline_that_a_request_names(self) -> None:
        simulation = Simulation(engines=0, rules=SLEEPY)
        asked = simulation.ask(terms=Terms(deadline_s=5))
        simulation.step(51)
        assert isinstance(asked.failure, DeadlineExceeded)
        simulation.close()

    async def test_is_bounded(self) -> None:
        simulation = Simulation(engines=0, rules=replace(SLEEPY, max_queued_tokens=100))
        asked = [simulation.ask(prompt=60, output=1) for _ in range(3)]
        assert [type(each.error) for each in asked] == [type(None), Overloaded, Overloaded]
        simulation.close()

    async def test_without_leave_to_sleep_refuses_as_ever(self) -> None:
        simulation = Simulation(engines=0, rules=Rules())
        simulation.step(int(GRACE_S / 0.1) + 1)
        assert isinstance(simulation.ask().error, EngineUnavailable)
        simulation.close()


class TestAPool:
    async def test_is_ready_while_it_sleeps(self, clock: FakeClock) -> None:
        engines = EnginePool("router", SLEEPY, clock)
        assert engines.asleep
        assert engines.ready
        await engines.close()

    async def test_remembers_what_its_engines_can_do(self, served: Serving) -> None:
        engines = await asleep()
        engines.update([served.replica])
        engines.update([])
        assert engines.facts == FACTS
        await engines.close()

    async def test_tells_of_those_who_wait_for_that(self, served: Serving) -> None:
        engines = await asleep()
        caller = asyncio.ensure_future(engines.known())
        await until(lambda: engines.queued[Level.STANDARD] == 1)
        engines.update([served.replica])
        await caller
        assert engines.queued[Level.STANDARD] == 0
        await engines.close()

    async def test_tells_of_what_waits(self) -> None:
        engines = await asleep()
        ask(engines)
        assert waiting(engines) == 1
        assert engines.queued[Level.STANDARD] == engines.arrived[Level.STANDARD] > 0
        await engines.close()

    async def test_lets_nobody_wait_for_ever_to_be_known(self) -> None:
        engines = EnginePool("router", replace(SLEEPY, max_wait_s=0.01))
        with pytest.raises(EngineUnavailable):
            await engines.known()
        assert engines.queued[Level.STANDARD] == 0
        await engines.close()

    async def test_lets_only_so_many_wait_for_that(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pool, "_MOST_CALLERS", 0)
        engines = await asleep()
        with pytest.raises(Overloaded):
            await engines.known()
        await engines.close()


class TestARequest:
    @endpoints
    async def test_that_is_answered_whole_waits_and_succeeds(
        self, path: str, body: dict[str, Any]
    ) -> None:
        async with site(sleeps=True, running=False, echo=3) as s:
            answer = asyncio.ensure_future(s.post(path, body))
            await until(lambda: s.router.pools[MODEL].queued[Level.STANDARD])
            wake(s)
            assert (await answer).status_code == 200

    @endpoints
    async def test_that_streams_gets_comments_until_the_first_event(
        self, path: str, body: dict[str, Any], frequent: None
    ) -> None:
        async with site(sleeps=True, echo=3) as s:
            await fall_asleep(s)
            exchange = s.open(path, {**body, "stream": True})
            await until(lambda: exchange.content.count(sse.COMMENT) >= 3)
            assert exchange.status == 200
            wake(s)
            await exchange.task
            said = exchange.content.replace(sse.COMMENT, b"")
            assert len(events(said)) >= 3

    async def test_to_tokenize_wakes_a_model_that_was_never_heard(self) -> None:
        async with site(sleeps=True, running=False) as s:
            answer = asyncio.ensure_future(s.post("/tokenize", {"model": MODEL, "prompt": "Hi"}))
            await until(lambda: s.router.pools[MODEL].queued[Level.STANDARD])
            wake(s)
            assert (await answer).status_code == 200

    async def test_to_detokenize_needs_no_engine(self) -> None:
        async with site(sleeps=True, running=False) as s:
            answer = await s.post("/detokenize", {"model": MODEL, "tokens": [72, 105]})
            assert (answer.status_code, answer.json()) == (200, {"prompt": "Hi"})

    async def test_that_fails_in_its_sleep_gets_an_error_event(self, frequent: None) -> None:
        async with site(sleeps=True, echo=3, rules=Rules(max_wait_s=0.1)) as s:
            await fall_asleep(s)
            response = await s.post(COMPLETIONS, completion("Hi", stream=True))
            assert response.status_code == 200
            [error] = unfinished_events(response.content.replace(sse.COMMENT, b""))
            assert error["error"]["code"] == "deadline_exceeded"

    async def test_that_fails_before_the_first_comment_gets_its_status(self) -> None:
        async with site(sleeps=True, echo=3, rules=Rules(max_wait_s=0.05)) as s:
            await fall_asleep(s)
            response = await s.post(COMPLETIONS, completion("Hi", stream=True))
            assert response.status_code == 503

    async def test_is_not_held_to_its_class_deadline_while_nobody_can_keep_it(self) -> None:
        async with site(sleeps=True, echo=3) as s:
            service = replace(s.app.state.service, deadlines={Level.STANDARD: 1.0})  # type: ignore[attr-defined]
            assert service.deadlines_for(MODEL) == {Level.STANDARD: 1.0}
            await fall_asleep(s)
            assert service.deadlines_for(MODEL) == {}


async def test_a_sleeping_server_is_ready() -> None:
    async with site(sleeps=True, running=False) as s:
        assert (await s.http.get("/ready")).status_code == 200
