"""What is written down of a request, whatever becomes of it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from deployments.scheduling.terms import Level
from serve_app.http.edge import Edge
from serve_app.http.record import Record
from tests.unit.access_fixtures import bearer, entry, ring
from tests.unit.fakes import FakeClock
from tests.unit.http_fixtures import (
    CHAT,
    COMPLETIONS,
    MODEL,
    Site,
    chat,
    completion,
    say,
    site,
)


async def recorded(
    path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None, **fields: Any
) -> Record:
    """The record of one request to a site."""
    records: list[Record] = []
    async with site(**{"echo": 3, "readers": [records.append], **fields}) as running:
        await running.post(path, body, headers)
    [record] = records
    return record


class TestAnAnswer:
    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    async def test_is_recorded_with_what_was_asked_and_told(self, stream: bool) -> None:
        record = await recorded(CHAT, chat(n=2, stream=stream))
        assert (record.method, record.endpoint, record.status) == ("POST", CHAT, 200)
        assert (record.model, record.level, record.n) == (MODEL, Level.STANDARD, 2)
        assert (record.tenant, record.key_id, record.stream) == ("anonymous", "", stream)
        assert (record.error, record.client_gone) == (None, False)
        assert record.usage is not None
        assert (record.usage.prompt_tokens, record.usage.completion_tokens) == (3, 6)
        assert [ticket.finish_reason for ticket in record.tickets] == ["stop", "stop"]
        assert [hop.outcome for ticket in record.tickets for hop in ticket.hops] == ["finished"] * 2

    @pytest.mark.parametrize(("path", "body"), [(CHAT, chat()), (COMPLETIONS, completion())])
    async def test_has_its_times_in_their_order(self, path: str, body: dict[str, Any]) -> None:
        record = await recorded(path, {**body, "stream": True})
        [ticket] = record.tickets
        [hop] = ticket.hops
        times = (
            record.began,
            record.read_at,
            record.validated_at,
            record.reached_at,
            record.rendered_at,
            ticket.arrived_at,
            hop.placed_at,
            hop.first_at,
            record.answered_at,
            record.ended,
        )
        known = [time for time in times if time is not None]
        assert len(known) == len(times)
        assert known == sorted(known)
        assert hop.left_at is not None
        assert hop.left_at <= record.ended

    async def test_is_of_a_client_by_its_key(self) -> None:
        keys = ring(entry("acme", classes=["batch"]))
        record = await recorded(CHAT, chat(), bearer("acme"), keys=keys)
        assert (record.tenant, record.key_id, record.level) == ("acme", "acme", Level.BATCH)

    async def test_of_what_no_model_answers_has_none(self) -> None:
        records: list[Record] = []
        async with site(readers=[records.append]) as running:
            await running.http.get("/v1/models?secret=1")
        [record] = records
        assert (record.endpoint, record.status, record.model) == ("/v1/models", 200, None)
        assert (record.tickets, record.usage, record.read_at) == ([], None, None)


class TestARefusal:
    async def test_has_the_code_that_the_client_got(self) -> None:
        record = await recorded(CHAT, chat(temperature="hot"))
        assert (record.status, record.error) == (400, "invalid_type")
        assert record.read_at is not None
        assert record.validated_at is None
        assert record.tickets == []

    async def test_of_a_model_that_is_none_does_not_have_its_name(self) -> None:
        record = await recorded(CHAT, {**chat(), "model": "hunter2"})
        assert (record.status, record.error, record.model) == (404, "model_not_found", None)

    async def test_without_a_key_has_no_endpoint_and_no_tenant(self) -> None:
        record = await recorded(CHAT, chat(), keys=ring(entry("acme")))
        assert (record.status, record.error) == (401, "missing_api_key")
        assert (record.endpoint, record.tenant, record.key_id) == ("other", None, None)

    async def test_of_a_path_that_is_none_has_no_path(self) -> None:
        record = await recorded("/v1/hunter2", {})
        assert (record.endpoint, record.status, record.error) == ("other", 404, "not_found")

    async def test_by_the_queue_has_what_was_counted(self) -> None:
        record = await recorded(CHAT, chat(n=2), max_sequences=1)
        assert (record.status, record.error, record.n) == (400, "invalid_value", 2)
        assert record.usage is not None
        assert record.usage.prompt_tokens == 3


class TestAFailure:
    async def test_of_ours_is_an_internal_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        records: list[Record] = []
        async with site(readers=[records.append]) as running:
            monkeypatch.delattr(running.app.state, "service")  # type: ignore[attr-defined]
            await running.http.get("/ready")
        assert [(each.status, each.error) for each in records] == [(500, "internal_error")]

    async def test_behind_the_first_byte_is_told_beside_the_status(self, short_grace: None) -> None:
        records: list[Record] = []
        async with site(readers=[records.append]) as running:
            await running.cut_short(CHAT, chat())
        [record] = records
        assert (record.status, record.error) == (200, "engine_failed")
        assert record.tickets[0].finish_reason is None

    async def test_of_a_reader_is_nothing_to_the_client_and_the_next_reader(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fails(_: Record) -> None:
            raise RuntimeError("no disk")

        records: list[Record] = []
        async with site(echo=1, readers=[fails, records.append]) as running:
            assert (await running.post(CHAT, chat())).status_code == 200
        assert len(records) == 1
        assert "could not be read" in caplog.text


class TestALostEngine:
    async def test_is_a_stay_and_the_one_that_goes_on_another(self) -> None:
        records: list[Record] = []
        async with site(echo=6, engines=2, readers=[records.append]) as running:
            for each in running.servings:
                each.engine.speaks_until = 2
            exchange = running.open(CHAT, chat(stream=True))
            await exchange.until_says("w1 ")
            lost = next(each for each in running.servings if each.engine.running)
            other = next(each for each in running.servings if each is not lost)
            other.engine.resume()
            await lost.die()
            await exchange.task
        [ticket] = records[0].tickets
        assert [(hop.engine, hop.outcome) for hop in ticket.hops] == [
            (lost.replica.id, "moved"),
            (other.replica.id, "finished"),
        ]
        first, second = ticket.hops
        assert first.left_at is not None
        assert first.left_at <= second.placed_at
        assert second.first_at is not None

    async def test_may_be_the_last(self, short_grace: None) -> None:
        records: list[Record] = []
        async with site(readers=[records.append]) as running:
            task = asyncio.ensure_future(running.post(CHAT, chat()))
            await running.submitted()
            await running.serving.die()
            await task
        [hop] = records[0].tickets[0].hops
        assert (records[0].status, hop.first_at) == (503, None)


class TestAClientThatLeaves:
    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    async def test_is_a_499_and_frees_its_engine(self, stream: bool) -> None:
        records: list[Record] = []
        async with site(readers=[records.append]) as running:
            exchange = running.open(CHAT, chat(stream=stream))
            await running.submitted()
            await exchange.leave()
        [record] = records
        assert (record.status, record.client_gone, record.error) == (499, True, None)
        assert record.tickets[0].hops[0].outcome == "aborted"

    async def test_in_the_middle_of_its_answer_is_one_too(self) -> None:
        records: list[Record] = []
        async with site(readers=[records.append]) as running:
            exchange = running.open(CHAT, chat(stream=True))
            await running.submitted()
            running.step(0, say("so far"))
            await exchange.until_says("so far")
            await exchange.leave()
        assert [(each.status, each.client_gone) for each in records] == [(499, True)]
        assert records[0].answered_at is not None

    async def test_is_told_from_one_that_does_not_read(self) -> None:
        records: list[Record] = []
        async with site(readers=[records.append], stream_buffer_chars=10) as running:
            exchange = running.open(CHAT, chat(stream=True))
            await running.submitted()
            running.step(0, say("so far"))
            await exchange.until_says("so far")
            exchange.reads.clear()
            running.step(0, say("unread"))
            for _ in range(5):
                running.step(0, say(8 * "x"))
            await asyncio.wait([exchange.task], timeout=5)
        assert [(each.status, each.error) for each in records] == [(499, "client_too_slow")]


class TestItsIds:
    async def test_are_the_servers_and_the_clients(self) -> None:
        records: list[Record] = []
        async with site(readers=[records.append]) as running:
            await ask(running, {"x-request-id": "mine"})
        assert (records[0].request_id, records[0].client_request_id) == ("ours", "mine")

    async def test_are_of_a_trace_as_it_was_sent(self) -> None:
        records: list[Record] = []
        async with site(readers=[records.append]) as running:
            await running.http.get("/health", headers={"traceparent": "00-1-2-01"})
            await running.http.get(
                "/health",
                headers=httpx.Headers([("tracestate", "a=1"), ("tracestate", "b=2")]),
            )
        assert (records[0].traceparent, records[0].tracestate) == ("00-1-2-01", None)
        assert (records[1].traceparent, records[1].tracestate) == (None, "a=1,b=2")


async def test_a_request_begins_when_it_comes_to_the_edge() -> None:
    records: list[Record] = []
    async with site(readers=[records.append]) as running:
        before = time.monotonic()
        passed_on_at = await ask(running, {})
    [record] = records
    assert before <= record.began <= passed_on_at


async def test_the_wait_for_a_body_is_no_time_to_the_first_token() -> None:
    records: list[Record] = []
    clock = FakeClock()

    async def slowly() -> AsyncIterator[bytes]:
        body = json.dumps(completion()).encode()
        yield body[:10]
        clock.advance(30)
        yield body[10:]

    async with site(echo=3, readers=[records.append], now=clock) as running:
        await running.http.post(
            COMPLETIONS, content=slowly(), headers={"content-type": "application/json"}
        )
    [record] = records
    assert record.body_s == 30
    assert record.due_since == record.read_at


async def ask(running: Site, headers: Mapping[str, str]) -> float:
    """GET /health through the edge, behind which Serve gives the request its id.

    Gives when Serve had the request.
    """
    passed_on_at = 0.0

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        nonlocal passed_on_at
        passed_on_at = time.monotonic()
        scope["headers"] = [*scope["headers"], (b"x-request-id", b"ours")]
        await running.app(scope, receive, send)

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(Edge(serve)), base_url="http://sluice"
    ) as client:
        await client.get("/health", headers=headers)
    return passed_on_at
