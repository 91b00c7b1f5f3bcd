import asyncio
import json
import math
from dataclasses import replace

import pytest

from bench.client import Load, Tally, arguments, closed_loop, parse, prompts, requests
from bench.connection import Answer, Connection, ConnectionLost
from bench.sse import Completion, read_stream, read_whole

LOAD = Load(url="http://127.0.0.1:8000", model="m", num_requests=3, input_len=5)


def event(content: object) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


TOKENS = [event({"choices": [{"text": text}], "usage": None}) for text in ("a", '\n\ndata: "', "c")]
USAGE = event({"choices": [], "usage": {"completion_tokens": 3}})
DONE = b"data: [DONE]\n\n"
STREAM = b"".join([*TOKENS, USAGE, DONE])


def response(body: bytes, chunk: int = 0) -> bytes:
    head = b"HTTP/1.1 200 OK\r\n"
    if not chunk:
        return head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    pieces = [body[i : i + chunk] for i in range(0, len(body), chunk)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks


def received(raw: bytes, cut: int) -> Answer:
    """The answer of a connection that reads `raw` `cut` bytes at a time."""
    connection = Connection()
    for start in range(0, len(raw), cut):
        connection.data_received(raw[start : start + cut])
    return connection._answer


class TestStream:
    def test_counts_tokens_by_usage_and_events_by_their_ends(self) -> None:
        assert read_stream(STREAM) == Completion(3, 3, len(b"".join(TOKENS)))

    @pytest.mark.parametrize("chunk", [0, 1, 2, 7, 40, 1000])
    @pytest.mark.parametrize("cut", [1, 2, 3, 11, 64, 10_000])
    def test_reads_the_same_however_the_chunks_and_the_reads_are_cut(
        self, chunk: int, cut: int
    ) -> None:
        answer = received(response(STREAM, chunk), cut)
        assert answer.status == 200
        assert read_stream(b"".join(answer.pieces)) == read_stream(STREAM)
        assert answer.done_at > 0

    def test_without_done_is_an_error(self) -> None:
        assert read_stream(b"".join([*TOKENS, USAGE])).error == "stream without [DONE]"

    def test_without_usage_is_an_error(self) -> None:
        assert read_stream(b"".join([*TOKENS, DONE])).error == "stream without usage"

    @pytest.mark.parametrize("body", [b"", DONE, b"\n\n" + DONE, b"data: {}\n\n" + DONE])
    def test_without_anything_is_an_error(self, body: bytes) -> None:
        assert read_stream(body).error is not None

    def test_with_an_error_event_is_an_error_that_says_what_it_said(self) -> None:
        body = b"".join([TOKENS[0], event({"error": {"message": "no"}}), USAGE, DONE])
        assert read_stream(body).error == 'error: {"error": {"message": "no"}}'

    def test_whose_text_looks_like_an_error_is_none(self) -> None:
        text = event({"choices": [{"text": '{"error"'}]})
        assert read_stream(text + USAGE + DONE).error is None


class TestWholeAnswer:
    def test_counts_tokens_by_usage(self) -> None:
        body = json.dumps({"usage": {"completion_tokens": 3}}).encode()
        assert read_whole(body).output_tokens == 3

    def test_without_usage_is_an_error(self) -> None:
        assert read_whole(b"{}").error == "answer without usage"

    def test_that_is_an_error_says_what_it_said(self) -> None:
        assert read_whole(b'{"error": "no"}').error == 'error: {"error": "no"}'


class TestArrivals:
    def test_of_one_read_are_one(self) -> None:
        answer = Answer(0.0)
        answer.pieces, answer.arrivals = [b"ab", b"cd", b"ef"], [1.0, 1.0, 2.0]
        assert answer.arrivals_until(6) == [1.0, 2.0]

    def test_of_what_comes_after_the_tokens_do_not_count(self) -> None:
        answer = Answer(0.0)
        answer.pieces, answer.arrivals = [b"ab", b"cd", b"ef"], [1.0, 2.0, 3.0]
        assert answer.arrivals_until(4) == [1.0, 2.0]
        assert answer.arrivals_until(3) == [1.0, 2.0]
        assert answer.arrivals_until(0) == []


class TestLoad:
    @pytest.mark.parametrize(
        "url", ["http://example.com", "http://10.0.0.1:80", "https://127.0.0.1"]
    )
    def test_is_refused_to_any_other_machine(self, url: str) -> None:
        with pytest.raises(ValueError, match=r"loopback|address"):
            replace(LOAD, url=url).address()

    def test_is_the_same_for_the_same_seed_and_another_for_another(self) -> None:
        assert requests(LOAD) == requests(LOAD)
        assert not set(requests(LOAD)) & set(requests(replace(LOAD, seed=1)))

    def test_prompts_are_ids_of_the_asked_length_below_the_vocabulary(self) -> None:
        for prompt in prompts(replace(LOAD, vocab=7)):
            assert len(prompt) == 5
            assert set(prompt) <= set(range(7))

    def test_requests_carry_its_prompts_in_order(self) -> None:
        bodies = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in requests(LOAD)]
        assert [body["prompt"] for body in bodies] == prompts(LOAD)

    @pytest.mark.parametrize("stream", [True, False])
    def test_survives_the_command_line(self, stream: bool) -> None:
        load = replace(LOAD, stream=stream, timeout_s=1.5)
        assert parse([*arguments(load), "--json"]) == (load, True)


async def test_a_connection_that_is_closed_refuses_a_request() -> None:
    with pytest.raises(ConnectionLost):
        await Connection().ask(b"")


class TestTally:
    def test_of_nothing_streamed_leaves_latencies_unknown(self) -> None:
        result = Tally(LOAD).result(1.0, 0.0, 0.0)
        assert math.isnan(result.ttft_ms.p50)
        assert result.errors == {"not answered within the time limit": 3}

    def test_takes_the_latencies_from_the_arrivals(self) -> None:
        tally = Tally(replace(LOAD, num_requests=1))
        tally.add(LOAD.output_len, 3, 10.0, 10.9, [10.1, 10.3, 10.7])
        result = tally.result(2.0, 0.5, 0.2)
        assert (result.requests, result.output_tokens, result.events) == (1, LOAD.output_len, 3)
        assert result.output_tok_s == LOAD.output_len / 2
        assert result.ttft_ms.p50 == pytest.approx(100)
        assert result.itl_ms.p50 == pytest.approx(300)
        assert result.e2e_ms.p50 == pytest.approx(900)
        assert (result.client_cpu_share, result.client_wait_share) == (0.25, 0.1)

    def test_counts_an_answer_of_another_length_as_an_error(self) -> None:
        tally = Tally(replace(LOAD, num_requests=1))
        tally.add(LOAD.output_len - 1, 1, 0.0, 1.0, [1.0])
        result = tally.result(1.0, 0.0, 0.0)
        assert result.requests == result.output_tokens == 0
        assert result.errors == {"63 tokens, not 64": 1}


class TestClosedLoop:
    async def test_has_no_more_users_than_requests(self) -> None:
        users = []

        async def user(tally: Tally) -> None:
            users.append(tally)

        await closed_loop(replace(LOAD, concurrency=8), user)
        assert len(users) == LOAD.num_requests

    async def test_ends_at_the_time_limit_and_says_what_is_missing(self) -> None:
        async def user(_: Tally) -> None:
            await asyncio.Event().wait()

        result = await closed_loop(replace(LOAD, timeout_s=0), user)
        assert result.errors == {"not answered within the time limit": 3}
