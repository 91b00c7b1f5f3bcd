"""Requests that are meant to hurt, on raw connections to a real server.

What they do to the latency of others is measured by `python -m bench.attacks`.
"""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from bench.attack_list import SLOW_HEAD_S, attacks, launch
from serve_app.http.wire import HEAD_S
from tests.support import models
from tests.support.engines import engine_pids
from tests.support.server import Server

ANSWERED_WITHIN_S = 1.0


@pytest.fixture(scope="module")
def listening() -> Iterator[socket.socket]:
    """Where pictures could be asked for."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        yield listening


@pytest.fixture(scope="module", autouse=True)
def nobody_is_hurt(server: Server, listening: socket.socket) -> Iterator[None]:
    """After all attacks the engines are those from before, and answer; nobody asked elsewhere."""
    before = engine_pids(server, models.SMALL)
    yield
    assert engine_pids(server, models.SMALL) == before
    body = {"model": models.SMALL, "prompt": "Hi", "max_tokens": 3}
    assert server.post("/v1/completions", body).status_code == 200
    with pytest.raises(BlockingIOError):
        listening.accept()


@pytest.mark.parametrize("number", range(len(attacks("", 0))), ids=[a.name for a in attacks("", 0)])
def test_is_refused_at_once(server: Server, listening: socket.socket, number: int) -> None:
    attack = attacks(models.SMALL, listening.getsockname()[1])[number]
    url = urlsplit(server.url)
    verdict = launch((str(url.hostname), url.port or 0), attack)
    assert 400 <= verdict.status < 500
    assert verdict.answered_s < attack.waits_s + ANSWERED_WITHIN_S
    if attack.is_http:
        assert verdict.code is not None
    if attack.closes:
        assert verdict.closed


def test_the_slow_ones_know_how_long_a_server_waits() -> None:
    assert SLOW_HEAD_S == HEAD_S
