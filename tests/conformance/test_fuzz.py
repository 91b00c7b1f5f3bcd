"""Bodies that nobody should send: each is answered in time, none with a 500, and nothing dies."""

import asyncio
import json
from collections.abc import Iterator

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from deployments import default_model
from deployments.tokenizing import Tokenizing
from serve_app.http import openapi_answers
from serve_app.http.app import ENDPOINTS
from tests.support import models, wild
from tests.support.bodies import valid
from tests.support.engines import engine_pids
from tests.support.server import Server
from tests.unit.http_fixtures import MODEL, Site, completion, site

PATHS = tuple(endpoint.path for endpoint in ENDPOINTS if endpoint.request is not None)
NAMES = sorted(
    {
        name
        for endpoint in ENDPOINTS
        if endpoint.request is not None
        for name in endpoint.request._keys | set(endpoint.request.unsupported)
    }
)
ANSWERED_WITHIN_S = 5.0
PIECES = 9
"""Of the bodies for the fake engine, so that no single test is long."""
unhurried = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))


def requests(model: str) -> st.SearchStrategy[tuple[str, bytes]]:
    """A path and a body."""
    by_path = [
        st.tuples(st.just(path), wild.bodies(bodies, NAMES))
        for path, bodies in valid(model).items()
    ]
    return st.one_of(by_path)


def check(status: int, content: bytes) -> None:
    """An answer, or an error in OpenAI's shape that is not the server's fault."""
    assert status == 200 or 400 <= status < 500, content
    if status != 200:
        msgspec.json.decode(content, type=openapi_answers.Error)


class Asgi:
    """The application over an engine that says a few words to everything."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        tokenizing = Tokenizing(str(default_model.ensure(models.SMALL)), None)
        self._site = site(echo=3, tokenizer=tokenizing)
        self._running: Site = self._runner.run(self._site.__aenter__())

    def ask(self, path: str, body: bytes) -> tuple[int, bytes]:
        return self._runner.run(self._ask(path, body))

    def close(self) -> None:
        self._runner.run(self._site.__aexit__(None, None, None))
        self._runner.close()

    async def _ask(self, path: str, body: bytes) -> tuple[int, bytes]:
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            answer = await self._running.http.post(
                path, content=body, headers={"content-type": "application/json"}
            )
        return answer.status_code, answer.content


@pytest.fixture
def asgi() -> Iterator[Asgi]:
    asgi = Asgi()
    yield asgi
    asgi.close()


@pytest.mark.parametrize("piece", range(PIECES))
def test_no_body_is_too_much_for_the_application(asgi: Asgi, piece: int) -> None:
    @seed(piece)
    @settings(unhurried, max_examples=500)
    @given(request=requests(MODEL))
    def ask(request: tuple[str, bytes]) -> None:
        check(*asgi.ask(*request))

    ask()
    check(*asgi.ask("/v1/completions", json.dumps(completion()).encode()))


def test_no_body_is_too_much_for_a_server(server: Server) -> None:
    before = engine_pids(server, models.SMALL, models.LARGE)
    with httpx.Client(base_url=server.url, timeout=ANSWERED_WITHIN_S) as client:

        def post(path: str, body: bytes) -> tuple[int, bytes]:
            answer = client.post(path, content=body, headers={"content-type": "application/json"})
            return answer.status_code, answer.content

        @seed(0)
        @settings(unhurried, max_examples=500)
        @given(request=requests(models.SMALL))
        def ask(request: tuple[str, bytes]) -> None:
            check(*post(*request))

        ask()
        canary = {"model": models.SMALL, "prompt": "Hi", "max_tokens": 3}
        assert post("/v1/completions", json.dumps(canary).encode())[0] == 200
    assert engine_pids(server, models.SMALL, models.LARGE) == before
