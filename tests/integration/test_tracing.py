"""What a receiver of OTLP gets of requests to a real server, from all its processes."""

import json
import os
import secrets
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.support import models, otlp, server
from tests.support.otlp import Received, Span, Trace
from tests.support.server import Server, eventually

TOKENS = 400
PROMPT = "Tell me of s3cret-prompt things."
STAGES = ["receive", "validate", "tokenize", "admit", "chat sluice-small"]
ENGINE = ["engine wait", "prefill", "decode"]
CLIENTS_SPAN = "00f067aa0ba902b7"
SMALL_MODEL = models.CONFIG["models"][0]
"""Spans go out four times a second here."""


@dataclass
class Traced:
    """A server and where its spans go."""

    server: Server
    received: Received


def environment(received: Received, **more: str) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": received.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "250",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        **more,
    }


@pytest.fixture(scope="module")
def traced() -> Iterator[Traced]:
    """Two engines of one model, traced over HTTP."""
    config = {"models": [{**SMALL_MODEL, "num_replicas": 2}]}
    with (
        otlp.over_http() as received,
        server.start(config, env=environment(received)).serving() as running,
    ):
        wait_for_engines(running, 2)
        yield Traced(running, received)


def wait_for_engines(running: Server, count: int) -> None:
    def all_beat() -> bool:
        engines = running.engines(models.SMALL)
        return len(engines) == count and all(engine["beats"] for engine in engines)

    eventually(all_beat, 120, f"{count} engines beat")


@dataclass
class Answer:
    """A streamed answer, and what its client measured."""

    trace_id: str
    seconds: float
    first_token_s: float
    usage: dict[str, Any]
    request_id: str
    lines: list[str]


def ask(running: Server, *, sampled: bool = True, at_token: Any = None, **body: Any) -> Answer:
    """One streamed chat with the client's own trace; `at_token` is called with the 50th event."""
    trace_id = secrets.token_hex(16)
    headers = {"traceparent": f"00-{trace_id}-{CLIENTS_SPAN}-{sampled:02d}", "tracestate": "v=1"}
    asked = {
        "model": models.SMALL,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": TOKENS,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        **body,
    }
    with httpx.Client(base_url=running.url, timeout=60) as client:
        client.get("/ready")  # connects
        began = time.monotonic()
        with client.stream("POST", "/v1/chat/completions", json=asked, headers=headers) as response:
            first = 0.0
            lines: list[str] = []
            for line in filter(None, response.iter_lines()):
                first = first or time.monotonic()
                lines.append(line)
                if len(lines) == 50 and at_token is not None:
                    at_token()
            ended = time.monotonic()
    assert lines[-1] == "data: [DONE]", lines[-1]
    usage = json.loads(lines[-2].removeprefix("data: "))["usage"]
    request_id = response.headers["x-request-id"]
    return Answer(trace_id, ended - began, first - began, usage, request_id, lines)


@pytest.fixture(scope="module")
def answer(traced: Traced) -> Answer:
    ask(traced.server)  # the first of all takes longer
    return ask(traced.server)


@pytest.fixture(scope="module")
def trace(traced: Traced, answer: Answer) -> Trace:
    names = ["POST /v1/chat/completions", *STAGES, "queue", "place", *ENGINE]
    return traced.received.wait_for(answer.trace_id, *names)


class TestOneStreamedRequest:
    def test_has_every_span_once(self, trace: Trace) -> None:
        assert len(trace.spans) == 11
        assert [span.name for span in trace.children(trace.root)] == STAGES
        inference = trace.one("chat sluice-small")
        assert [span.name for span in trace.children(inference)] == ["queue", "place"]
        assert [span.name for span in trace.children(trace.one("place"))] == ENGINE

    def test_goes_on_from_the_clients_span(self, trace: Trace) -> None:
        assert trace.root.parent_id == CLIENTS_SPAN
        assert {span.trace_state for span in trace.spans} == {"v=1"}

    def test_comes_from_two_processes_of_one_service(self, trace: Trace) -> None:
        instances = {span.resource["service.instance.id"] for span in trace.spans}
        engine = trace.one("decode").resource["service.instance.id"]
        assert len(instances) == 2
        assert engine == trace.one("place").attributes["sluice.engine"]
        for span in trace.spans:
            assert span.resource["service.name"] == "sluice"
            assert span.resource["deployment.environment.name"] == "test"

    def test_its_parts_add_up_to_what_the_client_measured(
        self, trace: Trace, answer: Answer
    ) -> None:
        def within_5_percent(spans: list[Span]) -> bool:
            return abs(sum(span.seconds for span in spans) / answer.seconds - 1) < 0.05

        told = f"client: {1000 * answer.seconds:.2f} ms\n{trace.tree()}"
        print(told)  # noqa: T201  an example for docs/tracing.md
        assert answer.usage["completion_tokens"] == TOKENS
        assert within_5_percent([trace.root])
        assert within_5_percent(trace.children(trace.root))
        before = [trace.one(name) for name in STAGES[:-1]]
        assert within_5_percent([*before, trace.one("queue"), trace.one("place")])
        engine = [trace.one(name) for name in ENGINE]
        assert within_5_percent([*before, trace.one("queue"), *engine])

    def test_its_parts_follow_each_other(self, trace: Trace) -> None:
        parts = trace.children(trace.root)
        assert parts[0].start == trace.root.start
        for one, other in pairwise(parts):
            assert abs(other.start - one.end) < 1_000  # nanoseconds; they are rounded
        assert abs(parts[-1].end - trace.root.end) < 1_000

    def test_says_when_the_first_token_came(self, trace: Trace, answer: Answer) -> None:
        inference = trace.one("chat sluice-small")
        [(name, at)] = inference.events
        assert name == "first_token"
        from_the_start = (at - trace.root.start) / 1e9
        assert 0 < from_the_start <= answer.first_token_s
        told = inference.attributes["gen_ai.response.time_to_first_chunk"]
        assert abs(told - from_the_start) < 1e-6

    def test_counts_tokens_as_usage_does(self, trace: Trace, answer: Answer) -> None:
        inference = trace.one("chat sluice-small").attributes
        prompt, output = answer.usage["prompt_tokens"], answer.usage["completion_tokens"]
        assert inference["gen_ai.usage.input_tokens"] == prompt
        assert inference["gen_ai.usage.output_tokens"] == output
        assert trace.one("prefill").attributes["sluice.prompt_tokens"] == prompt
        assert trace.one("decode").attributes["sluice.output_tokens"] == output

    def test_has_the_conventions_attributes(self, trace: Trace, answer: Answer) -> None:
        root, inference = trace.root, trace.one("chat sluice-small").attributes
        assert root.name == "POST /v1/chat/completions"
        assert root.kind == 2  # of a server
        assert root.attributes["http.route"] == "/v1/chat/completions"
        assert root.attributes["http.response.status_code"] == 200
        assert root.attributes["sluice.request_id"] == answer.request_id
        assert inference["gen_ai.operation.name"] == "chat"
        assert inference["gen_ai.request.model"] == models.SMALL
        assert inference["gen_ai.request.max_tokens"] == TOKENS
        assert inference["gen_ai.response.finish_reasons"] == ["length"]

    def test_its_id_is_in_the_line_of_the_log(self, traced: Traced, answer: Answer) -> None:
        def lines() -> list[str]:
            log = traced.server.log.read_text(errors="replace").splitlines()
            return [line for line in log if answer.trace_id in line]

        eventually(lambda: bool(lines()), 10, "the line is written")
        assert answer.request_id in lines()[0]

    def test_says_nothing_of_its_text(self, traced: Traced, trace: Trace) -> None:
        assert trace.spans
        assert not [raw for raw in traced.received.raw if b"s3cret" in raw]


def test_a_client_that_does_not_sample_leaves_no_span_in_any_process(traced: Traced) -> None:
    unsampled = ask(traced.server, sampled=False, max_tokens=4)
    later = ask(traced.server, max_tokens=4)
    # Each process sends its spans in the order of their ends, so what had been would have come.
    traced.received.wait_for(later.trace_id, "POST /v1/chat/completions", "decode")
    assert traced.received.of(unsampled.trace_id) == []


def test_a_request_without_a_context_begins_a_trace(traced: Traced) -> None:
    body = {"model": models.SMALL, "prompt": "Hello", "max_tokens": 3, "ignore_eos": True}
    response = traced.server.post("/v1/completions", body)
    request_id = response.headers["x-request-id"]
    roots: list[Span] = []

    def came() -> bool:
        roots[:] = [
            span
            for span in traced.received.spans
            if span.attributes.get("sluice.request_id") == request_id
        ]
        return bool(roots)

    eventually(came, 30, "its trace has come")
    assert roots[0].parent_id == ""
    trace = traced.received.wait_for(roots[0].trace_id, "text_completion sluice-small", "decode")
    assert trace.one("decode").attributes["sluice.output_tokens"] == 3


def test_a_refused_request_ends_where_it_was_refused(traced: Traced) -> None:
    trace_id = secrets.token_hex(16)
    traceparent = f"00-{trace_id}-{CLIENTS_SPAN}-01"
    body = {"model": models.SMALL, "prompt": 1.5}
    assert traced.server.post("/v1/completions", body, traceparent=traceparent).status_code == 400
    trace = traced.received.wait_for(trace_id, "POST /v1/completions", "validate")
    assert [span.name for span in trace.spans] == ["POST /v1/completions", "receive", "validate"]
    assert trace.root.attributes["http.response.status_code"] == 400
    assert not trace.root.is_error


def test_a_stream_that_moves_has_a_span_for_each_engine(traced: Traced) -> None:
    def kill_the_engine() -> None:
        engines = traced.server.engines(models.SMALL)
        os.kill(next(e["pid"] for e in engines if e["in_flight"]), signal.SIGKILL)

    answer = ask(traced.server, at_token=kill_the_engine)
    assert answer.usage["completion_tokens"] == TOKENS
    trace = traced.received.wait_for(answer.trace_id, "POST /v1/chat/completions", *ENGINE)
    first, second = trace.all("place")
    assert first.attributes["sluice.outcome"] == "moved"
    assert first.attributes["sluice.moved.reason"] == "lost"
    assert second.attributes["sluice.moves"] == 1
    assert second.links == [first.span_id]
    assert first.attributes["sluice.engine"] != second.attributes["sluice.engine"]
    assert len(trace.all("queue")) == 2
    [prefill] = trace.all("prefill")  # the dead engine tells nothing any more
    emitted = prefill.attributes["sluice.resumed_tokens"]
    assert trace.parent(prefill) == second
    assert trace.one("decode").attributes["sluice.output_tokens"] == TOKENS - emitted
    assert not trace.root.is_error
    wait_for_engines(traced.server, 2)


def test_over_grpc_all_processes_are_heard(traced: Traced) -> None:
    """Beside an engine core that is forked; `traced` runs, so that ports are not taken twice."""
    with otlp.over_grpc() as received:
        env = environment(received, OTEL_EXPORTER_OTLP_PROTOCOL="grpc", OTEL_SERVICE_NAME="other")
        with server.start({"models": [SMALL_MODEL]}, env=env).serving() as running:
            answer = ask(running, max_tokens=20)
            trace = received.wait_for(answer.trace_id, "POST /v1/chat/completions", *ENGINE)
        assert len(trace.spans) == 11
        assert {span.resource["service.name"] for span in trace.spans} == {"other"}
        others = {span.trace_id for span in received.spans} - {answer.trace_id}
        assert not others  # vLLM and Ray send none of their own
