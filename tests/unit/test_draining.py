"""The end of an engine replica: it drains, and then it closes."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from deployments import engine_server as module
from tests.unit.fakes import FakeClock, Serving, serving, until
from tests.unit.loops import on_both_loops
from tests.unit.peers import Peer, deltas, router_at, submit


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DRAIN_POLL_S", 0.001)


class Draining:
    """A drain that has begun, as far as `router` knows."""

    def __init__(self, served: Serving, router: Peer) -> None:
        self._router = router
        self._task = asyncio.ensure_future(served.server.drain(60))

    async def begun(self) -> "Draining":
        await until(lambda: self._router.received[-1].load.draining)
        return self

    async def goes_on(self) -> None:
        await asyncio.wait([self._task], timeout=0.02)  # many looks
        assert not self._task.done()

    async def ends(self) -> None:
        await asyncio.wait_for(self._task, 5)


class TestDraining:
    @on_both_loops
    async def test_is_told_to_every_router_at_once(self, served: Serving, clock: FakeClock) -> None:
        async with router_at(served.replica) as router:
            drain = await Draining(served, router).begun()
            async with router_at(served.replica) as late:
                assert late.received[0].load.draining
            clock.advance(1)
            await drain.ends()

    async def test_waits_for_the_last_sequence(self, served: Serving, clock: FakeClock) -> None:
        async with router_at(served.replica) as router:
            router.send(submit(1, 2))
            owner, _ = await served.engine.next_submitted(2)
            drain = await Draining(served, router).begun()
            clock.advance(30)
            served.engine.finish(owner, 1)
            await drain.goes_on()
            served.engine.finish(owner, 2, "the end")
            await drain.ends()
            await until(lambda: deltas(router)[-1][0].text == "the end")

    @on_both_loops
    async def test_waits_for_what_was_on_its_way_when_it_began(
        self, served: Serving, clock: FakeClock
    ) -> None:
        async with router_at(served.replica) as router:
            router.send(submit(1))
            drain = Draining(served, router)
            owner, _ = await served.engine.next_submitted()
            clock.advance(1)
            await drain.goes_on()
            served.engine.finish(owner, 1)
            await drain.ends()

    async def test_waits_for_what_the_engine_has_not_been_given_yet(
        self, served: Serving, clock: FakeClock
    ) -> None:
        served.engine.gate.clear()
        async with router_at(served.replica) as router:
            router.send(submit(1), submit(2))
            owner, _ = await served.engine.next_submitted()
            await until(lambda: any(i.qsize() for i in served.server._inboxes.values()))
            served.engine.finish(owner, 1)
            drain = await Draining(served, router).begun()
            clock.advance(1)
            await drain.goes_on()
            served.engine.gate.set()
            await served.engine.next_submitted(2)
            served.engine.finish(owner, 2)
            await drain.ends()

    async def test_ends_at_its_time_limit(self, served: Serving, clock: FakeClock) -> None:
        async with router_at(served.replica) as router:
            router.send(submit(1))
            await served.engine.next_submitted()
            drain = await Draining(served, router).begun()
            clock.advance(61)
            await drain.ends()

    async def test_takes_no_time_when_nobody_is_connected(self, served: Serving) -> None:
        await asyncio.wait_for(served.server.drain(60), 1)


class TestClosing:
    @on_both_loops
    async def test_ends_every_connection_and_listens_no_more(self, clock: FakeClock) -> None:
        async with AsyncExitStack() as stack:
            async with serving(now=clock) as served:
                router = await stack.enter_async_context(router_at(served.replica))
                stranger = await stack.enter_async_context(router_at(served.replica, hello=False))
            await router.is_cut_off()
            await stranger.is_cut_off()
            with pytest.raises(OSError, match="Connect"):
                await asyncio.open_connection("127.0.0.1", served.replica.port)
