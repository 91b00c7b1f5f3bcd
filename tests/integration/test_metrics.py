"""A scrape of a real server says what its client saw."""

from tests.support import models
from tests.support.exposition import Exposition
from tests.support.server import Server

REQUESTS, TOKENS = 5, 8


def scraped(server: Server) -> Exposition:
    return Exposition(server.get("/metrics").text)


def test_a_scrape_counts_what_the_client_saw(server: Server) -> None:
    body = {
        "model": models.SMALL,
        "prompt": "Hello there",
        "max_tokens": TOKENS,
        "ignore_eos": True,
        "stream": True,
    }
    before = scraped(server)
    for _ in range(REQUESTS):
        assert server.post("/v1/completions", body).text.endswith("data: [DONE]\n\n")
    after = scraped(server)

    def grown(name: str, **labels: str) -> float:
        return after.sum(name, **labels) - before.sum(name, **labels)

    of_model = {"model_name": models.SMALL}
    ended = {"endpoint": "/v1/completions", "status": "200"}
    assert grown("sluice_http_request_seconds_count", **ended) == REQUESTS
    assert grown("sluice_requests_admitted_total", model=models.SMALL) == REQUESTS
    assert grown("vllm:time_to_first_token_seconds_count", **of_model) == REQUESTS
    assert grown("vllm:generation_tokens_total", **of_model) == REQUESTS * TOKENS
    assert grown("vllm:inter_token_latency_seconds_count", **of_model) == REQUESTS * (TOKENS - 1)
    assert after.values("sluice_engine_up", model=models.SMALL) == [1]
    assert after.sum("sluice_event_loop_lag_seconds_count") > 0
    assert after.values("sluice_metrics_peers_missed_total") == [0]
