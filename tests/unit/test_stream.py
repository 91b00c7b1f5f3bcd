"""A request's stream: everything in order, in as few portions as the reader asks for."""

import asyncio

import pytest

from deployments.errors import EngineFailed
from deployments.messages import Delta
from deployments.stream import Stream
from tests.unit.fakes import until


def delta(text: str, finish_reason: str | None = None) -> Delta:
    return Delta(0, text, [1], finish_reason)


def shown(portion: object) -> list[tuple[int, str]]:
    """A portion as indexes and texts."""
    assert isinstance(portion, list)
    return [(index, delta.text) for index, delta in portion]


async def waiting(stream: Stream) -> asyncio.Task[object]:
    """A reader that waits for the stream."""
    reader = asyncio.ensure_future(stream.read())
    await asyncio.sleep(0)
    assert not reader.done()
    return reader


class Calls:
    """Counts how often it is called."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


class TestReading:
    async def test_gives_what_came_before_at_once_and_in_order(self) -> None:
        stream = Stream(1, 100)
        stream.push(0, delta("a"))
        stream.push(0, delta("b"))
        assert stream.has_pending
        assert shown(await stream.read()) == [(0, "a"), (0, "b")]
        assert not stream.has_pending

    async def test_waits_for_what_comes_later(self) -> None:
        stream = Stream(1, 100)
        reader = await waiting(stream)
        stream.push(0, delta("a"))
        assert shown(await reader) == [(0, "a")]

    async def test_a_reader_that_is_woken_late_gets_everything_since(self) -> None:
        stream = Stream(1, 100)
        reader = await waiting(stream)
        for text in "abc":
            stream.push(0, delta(text))
        assert shown(await reader) == [(0, "a"), (0, "b"), (0, "c")]

    async def test_gives_each_delta_once(self) -> None:
        stream = Stream(1, 100)
        stream.push(0, delta("a"))
        await stream.read()
        stream.push(0, delta("b"))
        assert shown(await stream.read()) == [(0, "b")]

    async def test_is_empty_after_the_last_delta_of_its_sequence(self) -> None:
        stream = Stream(1, 100)
        stream.push(0, delta("a", "stop"))
        assert shown(await stream.read()) == [(0, "a")]
        assert await stream.read() == ()
        assert await stream.read() == ()

    async def test_ends_only_with_the_last_of_several_sequences(self) -> None:
        stream = Stream(2, 100)
        stream.push(1, delta("b", "stop"))
        assert shown(await stream.read()) == [(1, "b")]
        assert stream.unfinished == 1
        reader = await waiting(stream)
        stream.push(0, delta("a", "length"))
        assert shown(await reader) == [(0, "a")]
        assert await stream.read() == ()

    async def test_keeps_the_order_in_which_sequences_took_turns(self) -> None:
        stream = Stream(2, 100)
        for number, text in enumerate("abcd"):
            stream.push(number % 2, delta(text))
        assert shown(await stream.read()) == [(0, "a"), (1, "b"), (0, "c"), (1, "d")]

    async def test_what_was_read_does_not_grow_afterwards(self) -> None:
        stream = Stream(1, 100)
        stream.push(0, delta("a"))
        portion = await stream.read()
        stream.push(0, delta("b"))
        assert shown(portion) == [(0, "a")]

    async def test_a_cancelled_reader_loses_nothing(self) -> None:
        stream = Stream(1, 100)
        reader = await waiting(stream)
        reader.cancel()
        await asyncio.wait([reader])
        stream.push(0, delta("a"))
        assert shown(await stream.read()) == [(0, "a")]

    async def test_a_reader_cancelled_after_it_was_woken_loses_nothing(self) -> None:
        stream = Stream(1, 100)
        reader = await waiting(stream)
        stream.push(0, delta("a"))
        reader.cancel()
        await asyncio.wait([reader])
        assert shown(await stream.read()) == [(0, "a")]

    async def test_another_reader_can_wait_after_one_was_cancelled(self) -> None:
        stream = Stream(1, 100)
        first = await waiting(stream)
        first.cancel()
        await asyncio.wait([first])
        second = await waiting(stream)
        stream.push(0, delta("a"))
        assert shown(await second) == [(0, "a")]


class TestFailure:
    async def test_wakes_a_reader_that_waits(self) -> None:
        stream = Stream(1, 100)
        reader = await waiting(stream)
        stream.fail(EngineFailed("gone"))
        with pytest.raises(EngineFailed, match="gone"):
            await reader

    async def test_is_raised_after_what_came_before_it(self) -> None:
        stream = Stream(1, 100)
        stream.push(0, delta("a"))
        stream.fail(EngineFailed("gone"))
        assert shown(await stream.read()) == [(0, "a")]
        with pytest.raises(EngineFailed):
            await stream.read()

    async def test_is_raised_by_each_read_from_then_on(self) -> None:
        stream = Stream(1, 100)
        stream.fail(EngineFailed("gone"))
        for _ in range(2):
            with pytest.raises(EngineFailed):
                await stream.read()

    async def test_the_first_one_counts(self) -> None:
        stream = Stream(2, 100)
        stream.fail(EngineFailed("first"))
        stream.fail(EngineFailed("second"))
        with pytest.raises(EngineFailed, match="first"):
            await stream.read()

    async def test_after_the_last_delta_changes_nothing(self) -> None:
        stream = Stream(1, 100)
        stream.push(0, delta("a", "stop"))
        stream.fail(EngineFailed("gone"))
        assert shown(await stream.read()) == [(0, "a")]
        assert await stream.read() == ()

    async def test_of_one_sequence_ends_the_stream_of_several(self) -> None:
        stream = Stream(2, 100)
        stream.push(0, delta("a", "stop"))
        stream.fail(EngineFailed("gone"))
        assert shown(await stream.read()) == [(0, "a")]
        with pytest.raises(EngineFailed):
            await stream.read()


class TestSlowReader:
    @staticmethod
    def watched(limit: int) -> tuple[Stream, Calls]:
        stream, calls = Stream(1, limit), Calls()
        stream.on_overflow = calls
        return stream, calls

    async def test_may_be_behind_by_the_limit(self) -> None:
        stream, overflow = self.watched(3)
        stream.push(0, delta("abc"))
        assert overflow.count == 0

    async def test_is_cut_off_beyond_the_limit_and_only_once(self) -> None:
        stream, overflow = self.watched(3)
        for _ in range(5):
            stream.push(0, delta("abc"))
        assert overflow.count == 1

    async def test_is_counted_anew_after_each_read(self) -> None:
        stream, overflow = self.watched(3)
        for _ in range(5):
            stream.push(0, delta("abc"))
            await stream.read()
        assert overflow.count == 0

    async def test_a_reader_that_waits_is_not_behind_however_much_comes(self) -> None:
        stream, overflow = self.watched(3)
        reader = await waiting(stream)
        stream.push(0, delta("abcdef"))
        await until(reader.done)
        assert overflow.count == 0

    async def test_a_reader_that_was_cancelled_does_not_count_as_one_that_waits(self) -> None:
        stream, overflow = self.watched(3)
        reader = await waiting(stream)
        reader.cancel()
        await asyncio.wait([reader])
        stream.push(0, delta("abcdef"))
        stream.push(0, delta("g"))
        assert overflow.count == 1

    async def test_without_anyone_to_cut_it_off_keeps_everything(self) -> None:
        stream = Stream(1, 0)
        stream.push(0, delta("abc"))
        assert shown(await stream.read()) == [(0, "abc")]

    async def test_the_limit_is_of_the_whole_request(self) -> None:
        stream, overflow = Stream(2, 3), Calls()
        stream.on_overflow = overflow
        stream.push(0, delta("ab"))
        stream.push(1, delta("cd"))
        assert overflow.count == 1
