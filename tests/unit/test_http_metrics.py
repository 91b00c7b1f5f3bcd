"""What a scrape tells of what clients saw."""

import asyncio
import pickle
from collections.abc import AsyncIterator, Sequence

import pytest

from deployments.metering import families
from deployments.metering import peers as peers_module
from deployments.metering.histogram import Histogram
from deployments.metering.peers import Peers
from deployments.metering.sample import Sample, Snapshot
from serve_app.http import body
from tests.support.exposition import Exposition
from tests.unit.access_fixtures import bearer, entry, ring
from tests.unit.http_fixtures import CHAT, COMPLETIONS, MODEL, Site, chat, completion, site

STANDARD = {"model": MODEL, "class": "standard"}


async def scraped(running: Site) -> Exposition:
    answer = await running.http.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Exposition(answer.text)


class TestAScrape:
    async def test_counts_the_tokens_that_the_client_was_told(self) -> None:
        async with site(echo=5) as running:
            usage = (await running.post(COMPLETIONS, completion())).json()["usage"]
            told = await scraped(running)
        mine = {"model": MODEL, "tenant": "anonymous"}
        assert told.sum("sluice_prompt_tokens_total", **mine) == usage["prompt_tokens"]
        assert told.sum("sluice_generation_tokens_total", **mine) == usage["completion_tokens"] == 5
        assert told.sum("vllm:generation_tokens_total", model_name=MODEL) == 5
        assert told.sum("vllm:inter_token_latency_seconds_count", model_name=MODEL) == 4
        assert told.sum("vllm:request_success_total", finished_reason="stop") == 1

    async def test_splits_the_time_to_the_first_token_without_a_rest(self) -> None:
        async with site(echo=2) as running:
            for _ in range(3):
                await running.post(CHAT, chat(stream=True))
            told = await scraped(running)
        names = "sluice_framework_seconds", "sluice_queue_seconds", "sluice_engine_seconds"
        assert [told.sum(f"{name}_count", **STANDARD) for name in names] == [3, 3, 3]
        parts = sum(told.sum(f"{name}_sum", **STANDARD) for name in names)
        assert told.sum("vllm:time_to_first_token_seconds_sum") == pytest.approx(parts)

    async def test_tells_streamed_answers_from_those_that_are_given_whole(self) -> None:
        async with site(echo=3) as running:
            await running.post(CHAT, chat(stream=True))
            for _ in range(2):
                await running.post(CHAT, chat())
            told = await scraped(running)
        firsts = [
            *("vllm:time_to_first_token_seconds", "sluice_framework_seconds"),
            *("sluice_queue_seconds", "sluice_engine_seconds"),
        ]
        for name in firsts:
            assert told.sum(f"{name}_count", stream="true") == 1
            assert told.sum(f"{name}_count", stream="false") == 2
        assert told.sum("vllm:inter_token_latency_seconds_count", stream="true") == 2
        assert told.sum("vllm:inter_token_latency_seconds_count", stream="false") == 4

    async def test_has_no_buckets_of_what_was_never_measured(self) -> None:
        async with site(echo=1) as running:
            before = await scraped(running)
            await running.post(CHAT, chat(stream=True))
            after = await scraped(running)
        name = "sluice_queue_seconds_count"
        assert before.values(name) == []
        assert after.values(name) == after.values(name, **STANDARD, stream="true") == [1]

    async def test_counts_requests_by_endpoint_and_status(self) -> None:
        async with site(echo=1) as running:
            await running.post(CHAT, chat())
            await running.post(CHAT, chat(n="x"))
            await running.http.get("/nothing")
            told = await scraped(running)
        name = "sluice_http_request_seconds_count"
        assert told.values(name, endpoint=CHAT, status="200") == [1]
        assert told.values(name, endpoint=CHAT, status="400") == [1]
        assert told.values(name, endpoint="other", status="404") == [1]

    async def test_counts_refusals_by_reason(self) -> None:
        async with site(max_sequences=1) as running:
            assert (await running.post(CHAT, chat(n=2))).status_code == 400
            told = await scraped(running)
        assert told.values("sluice_requests_refused_total", **STANDARD) == [1]
        assert told.values("sluice_requests_admitted_total", **STANDARD) == [0]

    async def test_counts_what_was_refused_before_there_was_a_queue_by_its_code(self) -> None:
        keys = ring(entry("user"), entry("watcher", metrics=True))
        user, name = bearer("user"), "sluice_http_errors_total"
        async with site(keys=keys, max_body_bytes=1000) as running:
            await running.post(CHAT, chat())
            await running.post(CHAT, chat(), bearer("nobody"))
            await running.post(CHAT, chat(n="x"), user)
            await running.post(CHAT, chat(model="unheard-of"), user)
            await running.post(CHAT, chat(user="x" * 2000), user)
            await running.post(CHAT, chat(), {**user, "content-type": "text/plain"})
            await running.http.get("/metrics", headers=user)
            await running.http.get("/nothing", headers=user)
            answer = await running.http.get("/metrics", headers=bearer("watcher"))
        told = Exposition(answer.text)
        assert told.labels(name) == [
            {"endpoint": "other", "code": "missing_api_key"},
            {"endpoint": "other", "code": "invalid_api_key"},
            {"endpoint": CHAT, "code": "invalid_type"},
            {"endpoint": CHAT, "code": "model_not_found"},
            {"endpoint": CHAT, "code": "payload_too_large"},
            {"endpoint": CHAT, "code": "unsupported_media_type"},
            {"endpoint": "/metrics", "code": "metrics_required"},
            {"endpoint": "other", "code": "not_found"},
        ]
        assert told.values(name) == [1] * 8

    async def test_counts_a_body_that_does_not_come(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(body, "BODY_S", 0.01)
        forever = asyncio.Event()

        async def content() -> AsyncIterator[bytes]:
            yield b"{"
            await forever.wait()

        async with site() as running:
            headers = {"content-type": "application/json"}
            answer = await running.http.post(CHAT, content=content(), headers=headers)
            assert answer.status_code == 408
            told = await scraped(running)
        assert told.values("sluice_http_errors_total", code="request_timeout") == [1]

    async def test_counts_a_client_that_left(self) -> None:
        async with site() as running:
            exchange = running.open(CHAT, chat(stream=True))
            await running.submitted()
            await exchange.leave()
            told = await scraped(running)
        assert told.values("sluice_http_request_seconds_count", status="499") == [1]

    async def test_shows_the_engines(self) -> None:
        async with site(engines=2) as running:
            told = await scraped(running)
        assert told.values("sluice_engine_replicas") == [2]
        assert told.values("sluice_engine_up") == [1, 1]
        assert told.sum("sluice_engine_breaker", state="closed") == 2
        assert told.values("vllm:kv_cache_usage_perc") == [0, 0]


class TestSeveralRouters:
    async def test_are_told_of_side_by_side(self) -> None:
        async def peers() -> Sequence[Snapshot | None]:
            moves = Sample(families.MOVES, 3, (MODEL,))
            return [Snapshot("other", [moves]), Snapshot("me", [moves])]

        async with site(peers=peers) as running:
            told = await scraped(running)
        assert told.values("sluice_moves_total", replica="other") == [3]
        assert told.values("sluice_moves_total", replica="me") == [0]
        assert told.values("sluice_metrics_peers_missed_total") == [0]

    async def test_that_do_not_answer_are_counted_and_left_out(self) -> None:
        async def peers() -> Sequence[Snapshot | None]:
            return [None, None]

        async with site(peers=peers) as running:
            assert (await scraped(running)).values("sluice_metrics_peers_missed_total") == [2]

    async def test_that_cannot_be_asked_do_not_keep_a_replica_from_telling_of_itself(self) -> None:
        async def peers() -> Sequence[Snapshot | None]:
            raise RuntimeError("no Serve")

        async with site(peers=peers) as running:
            assert (await scraped(running)).values("sluice_metrics_peers_missed_total") == [1]

    async def test_one_that_hangs_takes_no_other_along(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(peers_module, "WITHIN_S", 0.01)
        assert await Peers(Handle(), "metrics")() == [Snapshot("a"), None, None]


class Answer:
    def __init__(self, what: Snapshot | Exception | None) -> None:
        self._what = what

    async def get_async(self) -> Snapshot:
        if self._what is None:
            await asyncio.Event().wait()
        if not isinstance(self._what, Snapshot):
            raise RuntimeError(self._what)
        return self._what


class Handle:
    """Stands for a deployment handle: one replica answers, one hangs, one fails."""

    def broadcast(self, method: str) -> "Handle":
        assert method == "metrics"
        return self

    async def _fetch_replica_results_async(self) -> list[Answer]:
        return [Answer(Snapshot("a")), Answer(None), Answer(RuntimeError("dead"))]


async def test_metrics_are_for_keys_that_say_so() -> None:
    keys = ring(entry("user"), entry("watcher", metrics=True), entry("boss", admin=True))
    async with site(keys=keys) as running:
        answers = {
            name: (await running.http.get("/metrics", headers=bearer(name))).status_code
            for name in ("user", "watcher", "boss")
        }
        assert (await running.http.get("/metrics")).status_code == 401
    assert answers == {"user": 403, "watcher": 200, "boss": 200}


def test_a_value_on_a_bound_counts_below_it() -> None:
    histogram = Histogram((1, 2))
    for value in (0.5, 1, 1.5, 3):
        histogram.observe(value)
    histogram.observe(2, 3)
    assert (histogram.counts, histogram.sum) == ([2, 4, 1], 12)


def test_what_a_replica_tells_crosses_to_another_as_it_is() -> None:
    histogram = Histogram(families.LOOP_LAG.bounds)
    histogram.observe(0.1)
    [sent] = pickle.loads(
        pickle.dumps(Snapshot("a", [Sample(families.LOOP_LAG, histogram)]))
    ).samples
    assert sent.family == families.LOOP_LAG
    assert (sent.value.counts, sent.value.sum) == (histogram.counts, histogram.sum)
