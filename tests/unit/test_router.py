"""The router: admits requests, gives each its stream, and always frees what is left."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any, cast

import pytest

from deployments import directory, link
from deployments.errors import BadRequest, EngineUnavailable, ModelNotFound, Overloaded
from deployments.messages import Load, Sampling
from deployments.router import Prompt, Router
from deployments.scheduling.terms import Terms
from tests.unit.fakes import FACTS, FakeEngine, FakeHandle, Serving, serving, until
from tests.unit.loops import on_both_loops

LIMIT = 4


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_FIRST_RETRY_S", 0.002)


@pytest.fixture
async def served() -> AsyncIterator[Serving]:
    async with serving() as served:
        yield served


@pytest.fixture
def handle() -> FakeHandle:
    return FakeHandle()


@pytest.fixture
async def router(served: Serving, handle: FakeHandle) -> AsyncIterator[Router]:
    """A router of one model, connected to `served`."""
    router = Router({"m": cast(Any, handle)}, max_sequences=LIMIT)
    handle.publish(served.replica)
    await until(lambda: router.pool("m").ready)
    yield router
    await router.close()


def sequences(count: int) -> list[tuple[Prompt, Sampling]]:
    return [([1, 2, i], Sampling(5, seed=i)) for i in range(count)]


def queued(router: Router) -> int:
    return sum(count for count, _ in router.pool("m").dispatcher.waiting().values())


async def has_nothing_left(router: Router, served: Serving) -> None:
    """The engine is free, and the router admits as much as ever."""
    await until(lambda: not served.engine.running)
    with router.generate("m", sequences(LIMIT), buffer_limit=100):
        await until(lambda: len(served.engine.running) == LIMIT)
    await until(lambda: not served.engine.running)


class TestGenerate:
    @on_both_loops
    async def test_gives_the_deltas_of_all_sequences_by_index(
        self, router: Router, served: Serving
    ) -> None:
        served.engine.echo = 3
        texts = ["", ""]
        with router.generate("m", sequences(2), buffer_limit=100) as stream:
            while portion := await stream.read():
                for index, delta in portion:
                    texts[index] += delta.text
        assert texts == ["w0 w1 w2 "] * 2

    async def test_sends_each_prompt_with_its_own_sampling(
        self, router: Router, served: Serving
    ) -> None:
        with router.generate("m", sequences(2), buffer_limit=100):
            await served.engine.next_submitted(2)
        sent = [(s.prompt_token_ids, s.sampling) for _, s in served.engine.submitted]
        assert sent == sequences(2)

    async def test_knows_only_its_models(self, router: Router) -> None:
        with (
            pytest.raises(ModelNotFound, match="'n' does not exist") as caught,
            router.generate("n", sequences(1), buffer_limit=100),
        ):
            pass
        assert caught.value.param == "model"

    async def test_has_a_pool_for_each_model(self) -> None:
        handles = {"a": FakeHandle(), "b": FakeHandle()}
        router = Router(cast(Any, handles), max_sequences=1)
        assert router.pool("a") is not router.pool("b")
        assert all(handle.used for handle in handles.values())
        await router.close()


class TestAdmission:
    async def test_ends_at_the_limit_of_sequences_of_all_requests(self, router: Router) -> None:
        with (
            router.generate("m", sequences(LIMIT - 1), buffer_limit=100),
            router.generate("m", sequences(1), buffer_limit=100),
            pytest.raises(Overloaded) as caught,
            router.generate("m", sequences(1), buffer_limit=100),
        ):
            pass
        assert not isinstance(caught.value, EngineUnavailable)
        assert caught.value.retry_after_s > 0

    async def test_a_refused_request_sends_nothing_and_takes_no_room(
        self, router: Router, served: Serving
    ) -> None:
        with router.generate("m", sequences(LIMIT - 1), buffer_limit=100):
            for _ in range(3):
                with (
                    pytest.raises(Overloaded),
                    router.generate("m", sequences(2), buffer_limit=100),
                ):
                    pass
            await served.engine.next_submitted(LIMIT - 1)
        await has_nothing_left(router, served)
        assert len(served.engine.submitted) == 2 * LIMIT - 1

    async def test_a_request_that_could_never_be_admitted_is_the_clients_to_change(
        self, router: Router
    ) -> None:
        with (
            pytest.raises(BadRequest, match=f"at most {LIMIT}"),
            router.generate("m", sequences(LIMIT + 1), buffer_limit=100),
        ):
            pass


class TestRelease:
    async def test_aborts_what_is_under_way_when_the_reader_leaves(
        self, router: Router, served: Serving
    ) -> None:
        with router.generate("m", sequences(2), buffer_limit=100):
            await served.engine.next_submitted(2)
        await until(lambda: len(served.engine.aborted) == 2)
        await has_nothing_left(router, served)

    async def test_aborts_what_is_under_way_when_the_reader_fails(
        self, router: Router, served: Serving
    ) -> None:
        async def fail() -> None:
            with router.generate("m", sequences(2), buffer_limit=100):
                await served.engine.next_submitted(2)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        await has_nothing_left(router, served)

    async def test_aborts_nothing_that_has_ended(self, router: Router, served: Serving) -> None:
        with router.generate("m", sequences(2), buffer_limit=100) as stream:
            await served.engine.next_submitted(2)
            served.engine.finish_all("end")
            while await stream.read():
                pass
        await has_nothing_left(router, served)
        assert len(served.engine.aborted) == LIMIT  # all of them by has_nothing_left

    async def test_takes_what_still_waits_out_of_the_queue(self) -> None:
        handle = FakeHandle()
        router = Router({"m": cast(Any, handle)}, max_sequences=LIMIT)
        with router.generate("m", sequences(LIMIT), buffer_limit=100):
            assert queued(router) == LIMIT
        assert queued(router) == 0
        await router.close()

    async def test_takes_out_both_what_waits_and_what_runs(
        self, router: Router, served: Serving
    ) -> None:
        served.engine.load_figures = Load(running=FACTS["max_num_seqs"] - 1)
        with router.generate("m", sequences(1), buffer_limit=100):
            owner, _ = await served.engine.next_submitted()
            with router.generate("m", sequences(3), buffer_limit=100):
                served.engine.step({owner: []})
                await until(lambda: router.pool("m").links[0].others > 0)
        await until(lambda: not served.engine.running)
        assert queued(router) == 0
        assert router.pool("m").links[0].in_flight == 0

    async def test_is_complete_when_no_engine_takes_work(
        self, router: Router, served: Serving, handle: FakeHandle, short_grace: None
    ) -> None:
        handle.publish()
        await until(lambda: not router.pool("m").links)
        for _ in range(LIMIT + 1):
            with (
                pytest.raises(EngineUnavailable),
                router.generate("m", sequences(1), buffer_limit=100) as stream,
            ):
                await stream.read()
        handle.publish(served.replica)
        await until(lambda: router.pool("m").ready)
        await has_nothing_left(router, served)


class TestTerms:
    async def test_salt_the_prefix_cache(self, router: Router, served: Serving) -> None:
        with router.generate("m", sequences(1), Terms(cache_salt="pepper"), buffer_limit=100):
            _, sequence = await served.engine.next_submitted()
        assert sequence.cache_salt == "pepper"

    async def test_of_no_kind_salt_nothing(self, router: Router, served: Serving) -> None:
        with router.generate("m", sequences(1), buffer_limit=100):
            _, sequence = await served.engine.next_submitted()
        assert sequence.cache_salt is None


class TestTwoRouters:
    """They feed one engine."""

    @pytest.fixture
    async def both(self, served: Serving) -> AsyncIterator[list[Router]]:
        handles = [FakeHandle(), FakeHandle()]
        both = [Router({"m": cast(Any, h)}, max_sequences=100) for h in handles]
        for handle in handles:
            handle.publish(served.replica)
        await until(lambda: all(r.pool("m").ready for r in both))
        await until(lambda: [r.pool("m").links[0].report.routers for r in both] == [2, 2])
        yield both
        for router in both:
            await router.close()

    async def test_share_its_room(self, both: list[Router], served: Serving) -> None:
        slots = FACTS["max_num_seqs"]
        assert [r.pool("m").links[0].room.slots for r in both] == [slots // 2] * 2

    async def test_send_it_no_more_than_it_can_take_though_both_are_flooded_at_once(
        self, both: list[Router], served: Serving
    ) -> None:
        with ExitStack() as stack:
            for router in both:
                stack.enter_context(router.generate("m", sequences(40), buffer_limit=100))
            await served.engine.next_submitted(FACTS["max_num_seqs"])
            await until(lambda: all(r.pool("m").links[0].others for r in both), "both have heard")
            assert len(served.engine.running) <= FACTS["max_num_seqs"] + 1
        await until(lambda: not served.engine.running)

    async def test_are_served_to_the_end_together(
        self, both: list[Router], served: Serving
    ) -> None:
        served.engine.echo = 2
        with ExitStack() as stack:
            streams = [
                stack.enter_context(router.generate("m", sequences(40), buffer_limit=10_000))
                for router in both
            ]
            for stream in streams:
                while await stream.read():
                    pass
        assert len(served.engine.submitted) == 80


class TestClosing:
    async def test_disconnects_and_hears_no_more_of_replicas(
        self, served: Serving, handle: FakeHandle
    ) -> None:
        router = Router({"m": cast(Any, handle)}, max_sequences=LIMIT)
        handle.publish(served.replica)
        await until(lambda: router.pool("m").ready)
        await router.close()
        await until(lambda: not served.server._inboxes)
        assert directory._listeners[handle.deployment_name] == []
        assert not router.pool("m").ready

    async def test_may_come_when_news_are_on_their_way(
        self, served: Serving, handle: FakeHandle
    ) -> None:
        router = Router({"m": cast(Any, handle)}, max_sequences=LIMIT)
        handle.publish(served.replica)
        await router.close()

    async def test_may_come_twice(self, router: Router) -> None:
        await router.close()


async def test_a_model_served_by_an_engine_that_dies_is_served_by_the_next(
    handle: FakeHandle,
) -> None:
    router = Router({"m": cast(Any, handle)}, max_sequences=LIMIT)
    async with serving() as first:
        handle.publish(first.replica)
        await until(lambda: router.pool("m").ready)
    async with serving(FakeEngine(echo=1)) as second:
        handle.publish(second.replica)
        await until(lambda: router.pool("m").ready)
        with router.generate("m", sequences(1), buffer_limit=100) as stream:
            assert [delta.text for _, delta in await stream.read()] == ["w0 "]
        await router.close()
