"""One line for each request, and what is in it."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from deployments import logs
from deployments.logs import LogOptions
from serve_app.http.record import Record
from serve_app.http.request_log import FIELDS, RequestLog, level_of
from tests.unit.access_fixtures import bearer, entry, ring
from tests.unit.http_fixtures import CHAT, COMPLETIONS, MODEL, Site, chat, completion, say, site
from tests.unit.kept_log import KeptLog

SECRET = "hunter2"
EMBEDDINGS = "/v1/embeddings"


class Log(KeptLog):
    """The request log of a site."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.read = RequestLog(LogOptions(**options), self.file)


async def logged(
    path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None, **fields: Any
) -> dict[str, Any]:
    """The line of one request to a site."""
    log = Log()
    async with site(**{"echo": 3, "readers": [log.read], **fields}) as running:
        await running.post(path, body, headers)
    return log.line


class TestTheLine:
    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    async def test_of_an_answer_says_all_that_is_known(self, stream: bool) -> None:
        line = await logged(CHAT, chat(n=2, stream=stream))
        assert line.pop("timestamp").endswith("Z")
        times = {name: line.pop(name) for name in list(line) if name.endswith("_ms")}
        assert list(times) == ["duration_ms", "framework_ms", "queue_ms", "ttft_ms"]
        assert times["framework_ms"] + times["queue_ms"] <= times["ttft_ms"] <= times["duration_ms"]
        [engine] = line.pop("engines")
        assert engine.startswith("replica-")
        assert line == {
            "level": "info",
            "event": "request",
            "logger": "sluice.request",
            "method": "POST",
            "endpoint": CHAT,
            "status": 200,
            "model": MODEL,
            "class": "standard",
            "tenant": "anonymous",
            "n": 2,
            "stream": stream,
            "prompt_tokens": 3,
            "completion_tokens": 6,
            "cached_tokens": 0,
            "moves": 0,
            "finish_reasons": ["stop", "stop"],
        }

    async def test_names_the_tenant_and_the_key_by_its_id(self) -> None:
        line = await logged(CHAT, chat(), bearer("acme"), keys=ring(entry("acme")))
        assert (line["tenant"], line["key"]) == ("acme", "acme")

    async def test_of_a_refusal_says_why(self) -> None:
        line = await logged(COMPLETIONS, completion(n="x"))
        assert (line["level"], line["status"], line["error"]) == ("info", 400, "invalid_type")
        assert not {"model", "engines", "prompt_tokens", "queue_ms", "ttft_ms"} & line.keys()

    async def test_of_what_the_queue_refuses_has_its_tokens(self) -> None:
        line = await logged(COMPLETIONS, completion(n=2), max_sequences=1)
        assert (line["status"], line["prompt_tokens"], line["completion_tokens"]) == (400, 3, 0)
        assert "queue_ms" not in line

    async def test_of_a_failure_behind_the_first_byte_is_an_error(self, short_grace: None) -> None:
        log = Log()
        async with site(readers=[log.read]) as running:
            await running.cut_short(CHAT, chat())
        line = log.line
        assert (line["level"], line["status"], line["error"]) == ("error", 200, "engine_failed")
        assert "finish_reasons" not in line

    async def test_of_a_client_that_left_is_a_499(self) -> None:
        log = Log()
        async with site(readers=[log.read]) as running:
            exchange = running.open(CHAT, chat(stream=True))
            await running.submitted()
            running.step(0, say("so far"))
            await exchange.until_says("so far")
            await exchange.leave()
        line = log.line
        assert (line["level"], line["status"], line["completion_tokens"]) == ("info", 499, 1)
        assert "ttft_ms" in line

    async def test_of_a_stream_that_moved_names_both_engines(self) -> None:
        log = Log()
        async with site(echo=6, engines=2, readers=[log.read]) as running:
            for each in running.servings:
                each.engine.speaks_until = 2
            exchange = running.open(CHAT, chat(stream=True))
            await exchange.until_says("w1 ")
            await lose(running)
            await exchange.task
        line = log.line
        assert (line["moves"], len(line["engines"]), line["status"]) == (1, 2, 200)
        assert line["completion_tokens"] == 6

    async def test_of_a_request_that_never_got_an_engine_has_its_wait(
        self, short_grace: None
    ) -> None:
        log = Log()
        async with site(readers=[log.read]) as running:
            running.engine.speaks_until = 0
            task = asyncio.ensure_future(running.post(CHAT, chat()))
            await running.submitted()
            await running.serving.die()
            await task
        line = log.line
        assert (line["level"], line["status"], line["moves"]) == ("error", 503, 0)
        assert line["queue_ms"] >= 0
        assert "ttft_ms" not in line

    async def test_has_the_id_of_a_trace_that_there_is(self) -> None:
        def trace(record: Record) -> None:
            record.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"

        log = Log()
        async with site(readers=[trace, log.read]) as running:
            await running.post(CHAT, chat(n="x"))
        assert log.line["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_every_field_of_a_line_is_one_that_is_explained() -> None:
    def trace(record: Record) -> None:
        record.trace_id, record.request_id, record.error = "t", "r", "e"

    log = Log()
    async with site(echo=1, readers=[trace, log.read], keys=ring(entry("acme"))) as running:
        await running.post(CHAT, chat(), bearer("acme"))
    common = ["timestamp", "level", "event", "logger"]
    assert list(log.line) == [*common, *FIELDS]


async def lose(running: Site) -> None:
    """An engine is lost, and the other says everything."""
    lost = next(each for each in running.servings if each.engine.running)
    for each in running.servings:
        if each is not lost:
            each.engine.resume()
    await lost.die()


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, chat(SECRET)),
        (CHAT, chat(SECRET, stream=True, user=SECRET, stop=SECRET)),
        (COMPLETIONS, completion(SECRET, echo=True)),
        (COMPLETIONS, {**completion(), "model": SECRET}),
        (COMPLETIONS, completion(**{SECRET: 1})),
        (f"/v1/models/{SECRET}", {}),
        (f"/v1/chat/completions?{SECRET}={SECRET}", chat()),
        (f"/{SECRET}", {}),
    ],
)
async def test_nothing_that_a_client_sends_is_in_it(
    form: str, path: str, body: dict[str, Any]
) -> None:
    log = Log(format=form, level="debug")
    headers = {
        "authorization": f"Bearer {SECRET}",
        "x-client-request-id": SECRET,
        "traceparent": SECRET,
        "user-agent": SECRET,
        "x-sluice-class": SECRET,
    }
    async with site(echo=1, readers=[log.read]) as running:
        await running.post(path, body)
        await running.post(path, body, headers)
    assert len(log.text.splitlines()) == 2
    assert SECRET not in log.text


async def test_the_id_of_a_request_leads_to_the_error_that_it_met(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with site() as running:
        monkeypatch.delattr(running.app.state, "service")  # type: ignore[attr-defined]
        await running.http.get("/ready", headers={"x-request-id": "r-1"})
    [crash] = [each for each in caplog.records if each.getMessage() == "Unexpected error"]
    line = logs.formatter(LogOptions()).format(crash)
    assert json.loads(line)["request_id"] == "r-1"
    assert "AttributeError" in line


class TestTheLevel:
    @pytest.mark.parametrize(
        ("status", "error", "level"),
        [
            (200, None, "info"),
            (200, "engine_failed", "error"),
            (400, "invalid_value", "info"),
            (401, "invalid_api_key", "warning"),
            (403, "class_not_allowed", "warning"),
            (404, "not_found", "info"),
            (499, None, "info"),
            (499, "client_too_slow", "info"),
            (500, "internal_error", "error"),
            (503, "overloaded", "error"),
        ],
    )
    def test_is_that_of_the_outcome(self, status: int, error: str | None, level: str) -> None:
        assert level_of(Record(0, 0, "POST", CHAT, status, error=error)) == level

    @pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
    def test_of_what_machines_ask_all_the_time_is_the_least(self, path: str) -> None:
        assert level_of(Record(0, 0, "GET", path, 200)) == "debug"
        assert level_of(Record(0, 0, "GET", path, 503)) == "debug"
        assert level_of(Record(0, 0, "GET", path, 500, error="internal_error")) == "error"

    @pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
    async def test_of_the_configuration_leaves_out_what_is_less(self, level: str) -> None:
        log = Log(level=level)
        async with site(readers=[log.read], running=False) as running:
            await running.http.get("/health")
            await running.http.get("/nothing")
            await running.post(CHAT, chat())
        statuses = [json.loads(line)["status"] for line in log.text.splitlines()]
        assert statuses == {"debug": [200, 404, 503], "info": [404, 503]}.get(level, [503])


class TestForPeople:
    async def test_it_is_a_sentence(self) -> None:
        log = Log(format="console")
        async with site(echo=3, readers=[log.read]) as running:
            await running.post(CHAT, chat(stream=True))
        [line] = log.text.splitlines()
        assert line.split(" ", 1)[1].startswith(f"POST {CHAT} 200 in ")
        assert f"  {MODEL}, 3 + 3 tokens, first after " in line

    async def test_a_refusal_says_why(self) -> None:
        log = Log(format="console", colors=True)
        async with site(readers=[log.read]) as running:
            await running.post(CHAT, chat(n="x"))
        assert "\x1b[33m400\x1b[0m" in log.text
        assert log.text.rstrip().endswith("invalid_type")
