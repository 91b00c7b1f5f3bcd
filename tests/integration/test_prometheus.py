"""Two router replicas under load, and a real Prometheus that scrapes them.

The events that a metric tells of are brought about first: refusals, failures, moves.
"""

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.autoscaling_metrics import WANTED
from deployments.metering.families import FAMILIES
from tests.support import models, prometheus, ray_endpoint, server
from tests.support.exposition import Exposition
from tests.support.prometheus import Prometheus
from tests.support.server import Server, eventually
from tests.unit import access_fixtures

REQUESTS, AT_ONCE = 120, 12
LONG, LONG_TOKENS = 4, 1500  # seconds: time enough to kill an engine that works on them
MAX_SEQUENCES = 15  # below what one request may ask for
BODY = {
    "model": models.SMALL,
    "ignore_eos": True,
    "stream": True,
    "stream_options": {"include_usage": True},
}


@dataclass(frozen=True)
class Seen:
    """What clients have seen of whole answers."""

    requests: int = 0
    prompt_tokens: int = 0
    tokens: int = 0

    def __add__(self, other: "Seen") -> "Seen":
        return Seen(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.tokens + other.tokens,
        )


@dataclass
class Site:
    """A server, who watches it, and what its clients have seen so far."""

    server: Server
    prometheus: Prometheus
    seen: Seen

    def ask(self, number: int) -> Seen:
        """One streamed completion, over a connection of its own."""
        body = {**BODY, "prompt": [10 + number] * (1 + number % 40), "max_tokens": 2 + number % 30}
        return self._whole(body)

    def ask_for_much(self, number: int) -> Seen:
        return self._whole({**BODY, "prompt": [50 + number] * 5, "max_tokens": LONG_TOKENS})

    def _whole(self, body: dict[str, Any]) -> Seen:
        lines = self.server.post("/v1/completions", body).text.split("\n\n")
        assert lines[-2:] == ["data: [DONE]", ""]
        usage = json.loads(lines[-3].removeprefix("data: "))["usage"]
        return Seen(1, usage["prompt_tokens"], usage["completion_tokens"])

    def scraped(self) -> Exposition:
        return Exposition(self.server.get("/metrics").text)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two routers, two engines, a key for clients and one for Prometheus."""
    key = tmp_path_factory.mktemp("keys") / "sluice.key"
    key.write_text(access_fixtures.key("watcher"))
    model = {
        **models.CONFIG["models"][0],
        "autoscaling": {"min_replicas": 2, "max_replicas": 2},
        "engine_args": {**models.ENGINE_ARGS, "max_model_len": 2048},
    }
    config = {
        "models": [model],
        "router": {"num_replicas": 2, "max_sequences": MAX_SEQUENCES},
        "auth": {
            "pepper": access_fixtures.PEPPER,
            "keys": [
                access_fixtures.entry("boss", admin=True),
                access_fixtures.entry("watcher", metrics=True),
            ],
        },
    }
    starting = server.start(config)
    starting.headers = access_fixtures.bearer("boss")
    with starting.serving() as running:
        eventually(lambda: len(engines(running)) == 2, 120, "two engines beat")
        with prometheus.scraping(jobs(running, key)) as watching:
            yield Site(running, watching, Seen())


def jobs(running: Server, key: Path) -> list[dict[str, Any]]:
    """As docs/metrics.md has them."""
    ray = f"127.0.0.1:{ray_endpoint.port(running.processes())}"
    return [
        {
            "job_name": "sluice",
            "authorization": {"credentials_file": str(key)},
            "static_configs": [{"targets": [running.url.removeprefix("http://")]}],
        },
        {"job_name": "ray", "static_configs": [{"targets": [ray]}]},
    ]


def engines(running: Server) -> list[dict[str, Any]]:
    return [engine for engine in running.engines(models.SMALL) if engine["beats"]]


def kill_one_that_works(running: Server) -> None:
    """At once, as soon as a router says that it has something there: streams are short."""

    def killed() -> bool:
        working = [engine["pid"] for engine in engines(running) if engine["in_flight"]]
        if working:
            os.kill(working[0], signal.SIGKILL)
        return bool(working)

    eventually(killed, 20, "an engine works")


@pytest.fixture(scope="module")
def loaded(site: Site) -> Site:
    """The same, when many have got their answers."""
    with ThreadPoolExecutor(AT_ONCE) as clients:
        site.seen = sum(clients.map(site.ask, range(REQUESTS)), Seen())
    return site


@pytest.fixture(scope="module")
def eventful(loaded: Site) -> Site:
    """The same, when everything has happened that a metric tells of."""
    running = loaded.server
    body = {**BODY, "prompt": "Hello", "max_tokens": 2}
    assert httpx.post(f"{running.url}/v1/completions", json=body).status_code == 401
    too_many = {**body, "prompt": ["Hello"] * (MAX_SEQUENCES + 1)}
    assert running.post("/v1/completions", too_many).status_code == 400
    unknown_token = {**body, "prompt": [10**6]}  # only the engine sees that
    assert running.post("/v1/completions", unknown_token).status_code == 400
    with ThreadPoolExecutor(LONG) as clients:
        answers = [clients.submit(loaded.ask_for_much, n) for n in range(LONG)]
        kill_one_that_works(running)
        loaded.seen = sum((answer.result() for answer in answers), loaded.seen)
    return loaded


def test_whichever_router_is_scraped_tells_what_clients_saw_of_both(loaded: Site) -> None:
    seen = loaded.seen
    assert seen.requests == REQUESTS
    for _ in range(8):
        told = loaded.scraped()
        totals = {
            "sluice_requests_admitted_total": seen.requests,
            "vllm:request_success_total": seen.requests,
            "vllm:time_to_first_token_seconds_count": seen.requests,
            "vllm:prompt_tokens_total": seen.prompt_tokens,
            "vllm:generation_tokens_total": seen.tokens,
            "vllm:inter_token_latency_seconds_count": seen.tokens - seen.requests,
            "sluice_inter_token_engine_seconds_count": seen.tokens - seen.requests,
            "sluice_inter_token_framework_seconds_count": seen.tokens - seen.requests,
            "sluice_metrics_peers_missed_total": 0,
        }
        assert {name: told.sum(name) for name in totals} == totals
    each = told.values("vllm:generation_tokens_total")
    assert len(each) == 2
    assert all(each)
    scrapes = told.values("sluice_http_request_seconds_count", endpoint="/metrics", status="200")
    assert len(scrapes) == 2  # both were asked


def test_prometheus_has_every_metric_of_the_reference(eventful: Site) -> None:
    wanted = {f"ray_{WANTED.name}"}
    for family in FAMILIES:
        parts = ("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",)
        wanted |= {family.name + part for part in parts}
    names = eventful.prometheus.names
    with suppress(AssertionError):
        eventually(lambda: wanted <= names(), 40, "all of it is there")
    assert wanted - names() == set()


def test_prometheus_counts_as_many_tokens_as_clients_have_got(eventful: Site) -> None:
    seen, query = eventful.seen, eventful.prometheus.value

    def counts(name: str, count: int) -> None:
        eventually(lambda: query(f"sum({name})") == count, 40, f"{name} is {count}")

    counts("vllm:time_to_first_token_seconds_count", seen.requests)
    counts("vllm:generation_tokens_total", seen.tokens)
    counts("vllm:inter_token_latency_seconds_count", seen.tokens - seen.requests)
    counts("ray_vllm_generation_tokens_total", seen.tokens)
    counts("ray_vllm_inter_token_latency_seconds_count_total", seen.tokens - seen.requests)
    assert query("sum(sluice_moves_total)") > 0
    assert query('sum(sluice_requests_failed_total{reason="invalid_value"})') == 1
    assert query('sum(sluice_requests_refused_total{reason="invalid_value"})') == 1
    assert query('sum(sluice_http_errors_total{code="missing_api_key"})') == 1


def test_promtool_finds_no_fault_but_the_names_that_vllm_has_given(eventful: Site) -> None:
    complaints = prometheus.complaints(eventful.server.get("/metrics").text)
    ours = [each for each in complaints if not each.startswith("vllm:")]
    assert ours == []
    assert all("should not contain ':'" in each for each in complaints)
