"""A model that goes to sleep when nothing is asked for, and wakes for who asks."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from serve_app.http.sse import COMMENT
from tests.support import models, ray_endpoint
from tests.support.server import Server, eventually, start

MODEL = models.CONFIG["models"][0]
SLEEPY: dict[str, Any] = {
    "models": [
        {**MODEL, "autoscaling": {"min_replicas": 0, "max_replicas": 1, "idle_timeout_s": 3}}
    ]
}
REQUEST = {"model": MODEL["name"], "prompt": "Hello", "max_tokens": 3, "ignore_eos": True}


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of its own, whose model is awake."""
    running = start(SLEEPY)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.kill()


def test_the_first_request_waits_and_succeeds(server: Server) -> None:
    name = MODEL["name"]
    eventually(lambda: bool(server.engines(name)), 60, "it shows that it can be served")
    eventually(lambda: not server.engines(name), 30, "it sleeps")
    assert server.is_ready()

    asked_at = time.monotonic()
    with httpx.stream(
        "POST", server.url + "/v1/completions", json={**REQUEST, "stream": True}, timeout=120
    ) as response:
        assert response.status_code == 200
        content = response.read()
    assert time.monotonic() - asked_at > 5
    assert content.startswith(COMMENT)
    assert content.endswith(b"data: [DONE]\n\n")
    assert len(server.engines(name)) == 1
    eventually(lambda: _told(server, "up", "wake") == 1, 30, "Ray's endpoint tells that it woke")
    assert _told(server, "down", "idle") == 1
    wanted = ray_endpoint.scraped(server.processes())
    assert wanted.values("ray_sluice_autoscaling_wanted_replicas", model=name) == [1]


def _told(server: Server, direction: str, reason: str) -> float:
    decisions = ray_endpoint.scraped(server.processes())
    labels = {"model": MODEL["name"], "direction": direction, "reason": reason}
    return decisions.sum("ray_sluice_autoscaling_decisions_total", **labels)
