"""A stream whose engine is lost goes on with another, as if nothing had happened."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from typing import Any, cast

import pytest

from deployments.dispatcher import Rules
from deployments.errors import EngineFailed
from deployments.messages import Delta, Sampling
from deployments.router import Router
from deployments.stream import Stream
from deployments.ticket import Ticket
from tests.unit.fakes import FakeEngine, FakeHandle, Serving, serving, until
from tests.unit.loops import on_both_loops

WORDS = 8
SAMPLING = Sampling(max_tokens=100)
at_every_token = pytest.mark.parametrize("after", range(WORDS))


class Plant:
    """A router and its engines, each of which says `WORDS` words of a sequence."""

    def __init__(self, stack: AsyncExitStack, rules: Rules) -> None:
        self.handle = FakeHandle()
        self.router = Router({"m": cast(Any, self.handle)}, max_sequences=64, rules=rules)
        self.servings: list[Serving] = []
        self._stack = stack

    async def start(self, *, until_said: float) -> Serving:
        """One more engine, which stops after so many words of each sequence."""
        engine = FakeEngine(echo=WORDS)
        engine.speaks_until = until_said
        served = await self._stack.enter_async_context(serving(engine))
        self.servings.append(served)
        self.handle.publish(*(each.replica for each in self.servings))
        name = served.replica.id
        pool = self.router.pool("m")
        await until(lambda: any(link.name == name and link.takes_work for link in pool.links))
        return served

    @property
    def tickets(self) -> list[Ticket]:
        """All that engines have."""
        return [ticket for link in self.router.pool("m").links for ticket in link.tickets]

    async def standstill(self, sequences: int, after: int) -> Serving:
        """Wait until so many words of each sequence have come; returns an engine that has any."""
        await until(lambda: [len(t.emitted) for t in self.tickets] == [after] * sequences)
        await until(lambda: sum(len(s.engine.running) for s in self.servings) == sequences)
        return next(served for served in self.servings if served.engine.running)

    async def lose(self, lost: Serving) -> None:
        """An engine is cut off, and the others say everything."""
        for served in self.servings:
            if served is not lost:
                served.engine.resume()
        await lost.die()


@pytest.fixture
async def plant(request: pytest.FixtureRequest) -> AsyncIterator[Plant]:
    async with AsyncExitStack() as stack:
        plant = Plant(stack, getattr(request, "param", Rules()))
        stack.push_async_callback(plant.router.close)
        yield plant


async def all_of(stream: Stream) -> dict[int, list[Delta]]:
    """The deltas by index, to the end."""
    deltas: dict[int, list[Delta]] = {}
    while portion := await stream.read():
        for index, delta in portion:
            deltas.setdefault(index, []).append(delta)
    return deltas


def assert_undisturbed(deltas: Iterable[Delta]) -> None:
    """Each word came once, in its place, and one end."""
    told = [(delta.text, delta.token_ids, delta.finish_reason) for delta in deltas]
    words = [(f"w{k} ", [k], None) for k in range(WORDS - 1)]
    assert told == [*words, (f"w{WORDS - 1} ", [WORDS - 1], "stop")]


@on_both_loops
@at_every_token
async def test_one_stream_goes_on_behind_any_of_its_tokens(plant: Plant, after: int) -> None:
    for _ in range(2):
        await plant.start(until_said=after)
    with plant.router.generate("m", [([1, 2, 3], SAMPLING)], buffer_limit=1000) as stream:
        await plant.lose(await plant.standstill(1, after))
        assert_undisturbed((await all_of(stream))[0])
    assert plant.router.pool("m").dispatcher.moves == 1


@at_every_token
@pytest.mark.parametrize("n", [2, 5])
async def test_every_sequence_of_a_request_goes_on(plant: Plant, after: int, n: int) -> None:
    for _ in range(2):
        await plant.start(until_said=after)
    prompts = [([1, 2, i], SAMPLING) for i in range(n)]
    with plant.router.generate("m", prompts, buffer_limit=1000) as stream:
        await plant.lose(await plant.standstill(n, after))
        deltas = await all_of(stream)
    assert sorted(deltas) == list(range(n))
    for each in deltas.values():
        assert_undisturbed(each)


async def test_a_stream_goes_on_however_often_its_engine_is_lost(plant: Plant) -> None:
    with plant.router.generate("m", [([1, 2, 3], SAMPLING)], buffer_limit=1000) as stream:
        await plant.start(until_said=1)
        for said in range(1, 5):
            lost = await plant.standstill(1, said)
            await plant.start(until_said=said + 1)
            await lost.die()
            plant.servings.remove(lost)
        plant.servings[-1].engine.resume()
        assert_undisturbed((await all_of(stream))[0])


async def test_the_next_engine_is_told_what_has_been_said(plant: Plant) -> None:
    for _ in range(2):
        await plant.start(until_said=3)
    with plant.router.generate("m", [([1, 2, 3], SAMPLING)], buffer_limit=1000) as stream:
        lost = await plant.standstill(1, 3)
        await plant.lose(lost)
        await all_of(stream)
    [other] = [served for served in plant.servings if served is not lost]
    [(_, sequence)] = other.engine.submitted
    assert (sequence.prompt_token_ids, sequence.emitted_token_ids) == ([1, 2, 3], [0, 1, 2])
    assert sequence.sampling == SAMPLING


async def test_a_reader_that_leaves_after_a_move_frees_the_engine_that_went_on(
    plant: Plant,
) -> None:
    for _ in range(2):
        await plant.start(until_said=3)
    with plant.router.generate("m", [([1, 2, 3], SAMPLING)], buffer_limit=1000):
        lost = await plant.standstill(1, 3)
        [other] = [served for served in plant.servings if served is not lost]
        await lost.die()
        await other.engine.next_submitted()
    await until(lambda: other.engine.aborted and not other.engine.running)


@pytest.mark.parametrize("plant", [Rules(max_moves=0)], indirect=True)
async def test_a_stream_that_may_move_no_more_ends_with_an_error(plant: Plant) -> None:
    for _ in range(2):
        await plant.start(until_said=3)
    with plant.router.generate("m", [([1, 2, 3], SAMPLING)], buffer_limit=1000) as stream:
        await plant.lose(await plant.standstill(1, 3))
        with pytest.raises(EngineFailed):
            await all_of(stream)


async def test_a_stream_that_no_engine_takes_over_ends_with_an_error(
    plant: Plant, short_grace: None
) -> None:
    lost = await plant.start(until_said=3)
    with plant.router.generate("m", [([1, 2, 3], SAMPLING)], buffer_limit=1000) as stream:
        await plant.standstill(1, 3)
        await lost.die()
        with pytest.raises(EngineFailed):
            await all_of(stream)


async def test_a_replica_that_ends_after_its_drain_gives_its_streams_to_others(
    plant: Plant,
) -> None:
    """Its time was up: Serve has taken it off the list, and then it closed."""
    for _ in range(2):
        await plant.start(until_said=3)
    with plant.router.generate("m", [([1, 2, 3], SAMPLING)], buffer_limit=1000) as stream:
        ended = await plant.standstill(1, 3)
        [other] = [served for served in plant.servings if served is not ended]
        plant.handle.publish(other.replica)
        await until(lambda: len(plant.router.pool("m").links) == 1)
        await ended.server.drain(0)
        other.engine.resume()
        await ended.server.close()
        assert_undisturbed((await all_of(stream))[0])
