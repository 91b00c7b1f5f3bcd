"""A scrape of a real server says what its client saw."""

from tests.support import models, ray_endpoint
from tests.support.exposition import Exposition
from tests.support.server import Server, eventually

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


def test_rays_endpoint_tells_the_same_some_seconds_later(server: Server) -> None:
    body = {"model": models.SMALL, "prompt": "Hello there", "max_tokens": TOKENS}
    assert server.post("/v1/completions", body).status_code == 200
    told = scraped(server)

    def agrees() -> bool:
        ray = ray_endpoint.scraped(server.processes())
        return all(
            ray.sum(on_ray, **labels) == told.sum(name, **labels) > 0
            for on_ray, name, labels in (
                ("ray_vllm_generation_tokens_total", "vllm:generation_tokens_total", {}),
                (
                    "ray_vllm_time_to_first_token_seconds_count_total",
                    "vllm:time_to_first_token_seconds_count",
                    {"model_name": models.SMALL},
                ),
                (
                    "ray_sluice_requests_admitted_total",
                    "sluice_requests_admitted_total",
                    {"class": "standard"},
                ),
                ("ray_sluice_engine_up", "sluice_engine_up", {"model": models.SMALL}),
            )
        )

    eventually(agrees, 40, "Ray has passed it on")
    assert not ray_endpoint.scraped(server.processes()).values("ray_sluice_prompt_tokens_total")
