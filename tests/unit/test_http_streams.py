import asyncio
import gc
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from deployments.dispatcher import Rules
from deployments.messages import Delta
from deployments.stream import Stream
from serve_app.http.sse import timing
from tests.unit.fakes import FakeClock, until
from tests.unit.http_fixtures import (
    CHAT,
    COMPLETIONS,
    MODEL,
    Site,
    chat,
    completion,
    events,
    say,
    site,
    unfinished_events,
)

BOTH: Sequence[Any] = [(CHAT, chat(n=2)), (COMPLETIONS, completion(["Hi", "Ho"]))]
endpoints = pytest.mark.parametrize(("path", "body"), BOTH, ids=["chat", "completions"])
streaming = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])

LOST = {
    "message": "The engine that worked on this request was lost, and no other took over.",
    "type": "service_unavailable_error",
    "param": None,
    "code": "engine_failed",
}


NOT_READY = {**LOST, "message": "No engine of this model is ready.", "code": "engine_unavailable"}
NO_MOVES = Rules(max_moves=0)


@contextmanager
def collected() -> Iterator[list[str]]:
    """Fills a list with the kinds of our objects that only the collector finds."""
    found: list[str] = []
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        ours = "deployments", "serve_app"
        found += {type(one).__name__ for one in gc.garbage if type(one).__module__.startswith(ours)}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def freed(s: Site, count: int) -> None:
    """Wait until the engine has been told to abort `count` sequences, and works on nothing."""
    await until(lambda: len(s.engine.aborted) == count, f"{count} sequences are aborted")
    assert s.engine.running == {}


@endpoints
@streaming
async def test_an_engine_lost_before_the_first_token_is_a_503(
    path: str, body: dict[str, Any], stream: bool, short_grace: None
) -> None:
    async with site() as s:
        task = asyncio.ensure_future(s.post(path, {**body, "stream": stream}))
        await s.submitted(2)
        await s.serving.die()
        response = await task
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert response.json() == {"error": NOT_READY}


@streaming
async def test_an_engine_that_fails_before_the_first_token_is_a_503(stream: bool) -> None:
    async with site(rules=NO_MOVES) as s:
        script = [say("", finish_reason="error", error="It broke.")]
        response = await s.answer(CHAT, chat(stream=stream), script)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json() == {"error": LOST}


@endpoints
async def test_an_engine_lost_after_the_first_token_ends_the_stream_with_an_error(
    path: str, body: dict[str, Any], short_grace: None
) -> None:
    async with site() as s:
        exchange = await s.cut_short(path, body, sequences=2)
    assert exchange.status == 200
    assert unfinished_events(exchange.content)[-1] == {"error": LOST}
    assert b"[DONE]" not in exchange.content


@endpoints
async def test_one_failed_sequence_ends_the_stream_and_frees_the_others(
    path: str, body: dict[str, Any]
) -> None:
    async with site(rules=NO_MOVES) as s:
        exchange = s.open(path, {**body, "stream": True})
        await s.submitted(2)
        s.step(0, say("so far"))
        await exchange.until_says("so far")
        s.step(1, say("", finish_reason="error", error="It broke."))
        await exchange.task
        await freed(s, 1)
    assert unfinished_events(exchange.content)[-1] == {"error": LOST}
    assert b"[DONE]" not in exchange.content


@streaming
async def test_one_failed_sequence_fails_the_answer_and_frees_the_others(stream: bool) -> None:
    async with site(rules=NO_MOVES) as s:
        task = asyncio.ensure_future(s.post(CHAT, chat(n=2, stream=stream)))
        await s.submitted(2)
        s.step(1, say("", finish_reason="error", error="It broke."))
        response = await task
        await freed(s, 1)
    assert response.status_code == 503


async def test_a_sequence_that_an_engine_fails_on_is_tried_again() -> None:
    async with site() as s:
        exchange = s.open(CHAT, chat(stream=True))
        await s.submitted()
        s.step(0, say("so ", 7))
        await exchange.until_says("so ")
        s.step(0, say("", finish_reason="error", error="It broke."))
        [_, again] = await s.submitted(2)
        assert again.emitted_token_ids == [7]
        s.step(1, say("far", 8, finish_reason="stop"))
        await exchange.task
    contents = [e["choices"][0]["delta"].get("content") for e in events(exchange.content)]
    assert contents == ["", "so ", "far"]


async def test_a_bug_in_a_stream_is_told_without_its_cause_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with site() as s:
        exchange = s.open(CHAT, chat(stream=True, logprobs=True))
        await s.submitted()
        s.step(0, say("so far", logprobs=[]))
        await exchange.until_says("so far")
        with caplog.at_level(logging.ERROR, "ray.serve"):
            s.step(0, say("more", logprobs=[[]]))  # no candidate, not even the chosen one
            await exchange.task
        await freed(s, 1)
    error = unfinished_events(exchange.content)[-1]["error"]
    assert (error["type"], error["code"]) == ("server_error", "internal_error")
    assert "IndexError" not in error["message"]
    assert "IndexError" in caplog.text


@endpoints
@streaming
async def test_a_client_that_leaves_before_the_first_token_frees_its_sequences(
    path: str, body: dict[str, Any], stream: bool
) -> None:
    async with site() as s:
        exchange = s.open(path, {**body, "stream": stream})
        await s.submitted(2)
        await exchange.leave()
        await freed(s, 2)


@endpoints
@streaming
async def test_a_client_that_leaves_midway_frees_its_sequences(
    path: str, body: dict[str, Any], stream: bool
) -> None:
    async with site() as s:
        exchange = s.open(path, {**body, "stream": stream})
        await s.submitted(2)
        s.step(0, say("so far"))
        if stream:
            await exchange.until_says("so far")
        await exchange.leave()
        await freed(s, 2)


async def test_a_client_that_leaves_while_it_does_not_read_frees_its_sequences() -> None:
    async with site() as s:
        exchange = s.open(CHAT, chat(stream=True))
        await s.submitted()
        exchange.reads.clear()
        s.step(0, say("unread"))
        await until(lambda: s.serving.server.load().running == 1)
        await exchange.leave()
        await freed(s, 1)


@pytest.mark.parametrize("from_the_start", [True, False])
async def test_a_slow_reader_is_cut_off_while_another_stream_goes_on(from_the_start: bool) -> None:
    async with site(stream_buffer_chars=10) as s:
        slow = s.open(CHAT, chat(stream=True))
        await s.submitted(1)
        other = s.open(CHAT, chat(stream=True))
        await s.submitted(2)
        if not from_the_start:
            s.step(0, say("read"))
            await slow.until_says("read")
        slow.reads.clear()
        s.step(0, say("unread"))
        for number in range(5):
            s.step(0, say(8 * "x"))
            s.step(1, say(f"<{number}>"))
            await other.until_says(f"<{number}>")
        await asyncio.wait([slow.task], timeout=5)
        assert slow.task.cancelled()
        assert b"unread" not in slow.content
        await until(lambda: [i for _, i in s.engine.aborted] == [0], "the slow one is freed")
        s.step(1, say("<end>", finish_reason="stop"))
        await other.task
    assert "<end>" in str(events(other.content))


async def test_a_reader_that_is_behind_but_not_too_far_misses_nothing() -> None:
    async with site(stream_buffer_chars=100) as s:
        exchange = s.open(COMPLETIONS, completion(stream=True))
        await s.submitted()
        exchange.reads.clear()
        for number in range(9):
            s.step(0, say(f"<{number}>"))
        s.step(0, say("<9>", finish_reason="stop"))
        await until(lambda: not s.engine.running, "the engine is done")
        exchange.reads.set()
        await exchange.task
    text = "".join(e["choices"][0]["text"] for e in events(exchange.content))
    assert text == "".join(f"<{number}>" for number in range(10))


async def test_what_came_together_is_sent_together() -> None:
    async with site() as s:
        exchange = s.open(CHAT, chat(n=2, stream=True))
        await s.submitted(2)
        owner, _ = s.engine.submitted[0]
        ids = [sequence.id for _, sequence in s.engine.submitted]
        s.engine.step({owner: [Delta(i, f"<{i}>", [7], "stop") for i in ids]})
        await exchange.task
    assert exchange.sends == 2  # the headers and one body


@endpoints
@streaming
async def test_what_has_ended_leaves_nothing_to_abort(
    path: str, body: dict[str, Any], stream: bool
) -> None:
    async with site(echo=3) as s:
        response = await s.post(path, {**body, "stream": stream})
        assert response.status_code == 200
        again = await s.post(path, {**body, "stream": stream})
        assert again.status_code == 200
        assert s.engine.abort_calls == []
        assert s.router.pools[chat()["model"]].links[0].in_flight == 0


@endpoints
@streaming
async def test_an_answer_tells_how_long_it_waited_and_was_to_wait(
    path: str, body: dict[str, Any], stream: bool, clock: FakeClock
) -> None:
    async with site(echo=1, now=clock) as s:
        response = await s.post(path, {**body, "stream": stream})
    assert response.headers["x-sluice-wait-ms"] == "0"
    assert response.headers["x-sluice-predicted-ms"] == "0"


async def test_waits_are_told_in_whole_milliseconds() -> None:
    stream = Stream(1, 100)
    stream.waited_s, stream.predicted_s = 0.0126, 2.5
    assert timing(stream) == [(b"x-sluice-wait-ms", b"13"), (b"x-sluice-predicted-ms", b"2500")]


async def test_an_answer_that_waited_for_an_engine_says_for_how_long(clock: FakeClock) -> None:
    async with site(max_num_seqs=1, now=clock) as s:
        first = s.open(CHAT, chat(stream=True))
        await s.submitted()
        second = s.open(CHAT, chat(stream=True))
        dispatcher = s.router.pools[MODEL].dispatcher
        await until(lambda: any(count for count, _ in dispatcher.waiting().values()))
        clock.advance(0.5)
        s.step(0, say("a", finish_reason="stop"))
        await s.submitted(2)
        clock.advance(0.25)  # in the engine, which is no wait for it
        s.step(1, say("b", finish_reason="stop"))
        await asyncio.gather(first.task, second.task)
    assert first.headers[b"x-sluice-wait-ms"] == b"0"
    assert second.headers[b"x-sluice-wait-ms"] == b"500"


async def test_an_answer_tells_how_long_its_first_token_was_to_take(clock: FakeClock) -> None:
    async with site(now=clock) as s:
        first = s.open(CHAT, chat(stream=True))
        await s.submitted()
        clock.advance(0.25)
        s.step(0, say("a", finish_reason="stop"))
        await first.task
        second = s.open(CHAT, chat(stream=True))
        await s.submitted(2)
        s.step(1, say("b", finish_reason="stop"))
        await second.task
    assert first.headers[b"x-sluice-predicted-ms"] == b"0"
    assert second.headers[b"x-sluice-predicted-ms"] == b"250"


@streaming
@pytest.mark.parametrize(("path", "body"), [(CHAT, chat()), (COMPLETIONS, completion())])
async def test_an_answer_leaves_nothing_to_the_garbage_collector(
    path: str, body: dict[str, Any], stream: bool
) -> None:
    async with site(echo=3) as s:
        await s.open(path, {**body, "stream": stream}).task  # some things are made once
        with collected() as kinds:
            await s.open(path, {**body, "stream": stream}).task
    assert kinds == []


async def test_a_client_that_leaves_midway_leaves_nothing_to_the_garbage_collector() -> None:
    async def begun_and_left(s: Site, index: int) -> None:
        exchange = s.open(CHAT, chat(stream=True))
        await s.submitted(index + 1)
        s.step(index, say("so far"))
        await exchange.until_says("so far")
        await exchange.leave()
        del exchange.task  # its traceback leads back to the exchange
        await freed(s, index + 1)

    async with site() as s:
        await begun_and_left(s, 0)
        with collected() as kinds:
            await begun_and_left(s, 1)
    assert kinds == []
