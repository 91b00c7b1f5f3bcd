import json
from typing import Any

import httpx
import pytest
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.http import edge

ID = "x-client-request-id"


class Seen:
    """An application that answers with what it got, and keeps it."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] == "http":
            response = JSONResponse(dict(Request(scope).headers), headers={"x-request-id": "ours"})
            await response(scope, receive, send)


async def get(headers: Any, app: ASGIApp | None = None) -> httpx.Response:
    transport = httpx.ASGITransport(edge.Edge(app or Seen()))
    async with httpx.AsyncClient(transport=transport, base_url="http://sluice") as client:
        return await client.get("/", headers=headers)


def test_serve_finds_the_edge_by_its_path() -> None:
    module, _, name = edge.CALLBACK_PATH.partition(":")
    assert (module, name) == (edge.__name__, edge.middlewares.__name__)
    [middleware] = edge.middlewares()
    front: object = middleware.cls
    assert isinstance(middleware, Middleware)
    assert front is edge.Edge


@pytest.mark.parametrize(
    "name",
    [
        "x-request-disconnect-disabled",
        "X-Request-Disconnect-Disabled",
        "x_request_disconnect_disabled",
        "x-request_disconnect-disabled",
        "X-REQUEST-TIMEOUT-SECONDS",
        "x_request_timeout_seconds",
        "serve_multiplexed_model_id",
        "Serve-Multiplexed-Model-Id",
        "x-session-id",
        "X_Session_Id",
    ],
)
async def test_a_header_that_would_steer_serve_goes_no_further(name: str) -> None:
    response = await get({name: "?1", "accept": "x"})
    assert name.lower() not in response.json()
    assert response.json()["accept"] == "x"


async def test_other_headers_go_through_as_they_are() -> None:
    headers = {"authorization": "Bearer x", "x-request-timeout": "1", "x-my-id": "x"}
    told = (await get(headers)).json()
    assert headers.items() <= told.items()


@pytest.mark.parametrize("name", ["x-request-id", "X_Request_ID", ID, "X-Client_Request-Id"])
async def test_a_clients_own_id_comes_back_and_goes_no_further(name: str) -> None:
    response = await get({name: "abc"})
    assert response.headers[ID] == "abc"
    assert response.headers["x-request-id"] == "ours"
    assert "abc" not in response.json().values()


async def test_no_id_comes_back_when_none_was_sent() -> None:
    assert ID not in (await get({})).headers


async def test_only_the_beginning_of_an_endless_id_comes_back() -> None:
    assert (await get({"x-request-id": 1000 * "x"})).headers[ID] == 256 * "x"


@pytest.mark.parametrize(
    "headers",
    [
        [(f"x-{i}", "1") for i in range(101)],
        {"x-large": 32 * 1024 * "x"},
        {32 * 1024 * "x": "large"},
    ],
    ids=["many", "a large value", "a large name"],
)
async def test_too_many_headers_are_a_431_in_openais_shape(headers: Any) -> None:
    app = Seen()
    response = await get(headers, app)
    assert response.status_code == 431
    assert json.loads(response.content) == {
        "error": {
            "message": "Send at most 100 headers and 32768 bytes of them.",
            "type": "invalid_request_error",
            "param": None,
            "code": "request_header_fields_too_large",
        }
    }
    assert app.scopes == []


async def through(scope: Scope) -> tuple[Seen, list[Message]]:
    app, sent = Seen(), list[Message]()

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await edge.Edge(app)(scope, receive, send)
    return app, sent


async def test_what_the_server_says_to_its_application_goes_through() -> None:
    app, _ = await through({"type": "lifespan"})
    assert app.scopes == [{"type": "lifespan"}]


async def test_a_websocket_is_refused_as_nothing_here_speaks_it() -> None:
    app, sent = await through({"type": "websocket", "headers": [(b"x-request-id", b"abc")]})
    assert app.scopes == []
    assert [message["type"] for message in sent] == ["websocket.close"]
