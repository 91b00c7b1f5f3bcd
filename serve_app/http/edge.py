"""What stands in front of every server that takes requests from outside, as pure ASGI.

Serve lets any client switch off disconnect handling and set timeouts by header, and takes its
request id from the client. None of that is a client's to choose. Serve reads those headers before
the application sees them, so this runs as Serve's own HTTP middleware, named by the environment
variable RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH: in Serve's proxy and in each router replica.
"""

import time

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.http import errors, record, wire

CALLBACK_PATH = "serve_app.http.edge:middlewares"
CALLBACK_VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"

FORBIDDEN = frozenset(
    {
        b"x-request-disconnect-disabled",
        b"x-request-timeout-seconds",
        b"serve-multiplexed-model-id",
        b"x-session-id",
    }
)
"""Headers by which a client could steer Serve, with `_` written as `-`."""
CLIENT_ID = b"x-client-request-id"
MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 * 1024

Headers = list[tuple[bytes, bytes]]


def middlewares() -> list[Middleware]:
    """Serve calls this by its path, before it starts a server, to learn what to put in front."""
    wire.install()
    return [Middleware(Edge)]


class Edge:
    """Takes from a request what clients may not send, and refuses oversized headers.

    A client's own `x-request-id` (or `x-client-request-id`) comes back as `x-client-request-id`;
    `x-request-id` is always the server's.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # nothing here speaks it, and its headers would pass
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record.CAME.set(record.Came(time.monotonic(), time.time_ns()))
        headers: Headers = scope["headers"]
        size = sum(len(name) + len(value) for name, value in headers)
        if len(headers) > MAX_HEADERS or size > MAX_HEADER_BYTES:
            message = f"Send at most {MAX_HEADERS} headers and {MAX_HEADER_BYTES} bytes of them."
            await errors.response(431, message)(scope, receive, send)
            return
        scope["headers"], client_id = clean(headers)
        if client_id is not None:
            scope[record.CLIENT_ID] = client_id.decode("latin-1")
            send = _echo(client_id, send)
        await self._app(scope, receive, send)


def clean(headers: Headers) -> tuple[Headers, bytes | None]:
    """`headers` without what clients may not send, and the client's own id for the request."""
    kept: Headers = []
    client_id = None
    for name, value in headers:
        plain = name.lower().replace(b"_", b"-")
        if plain in {CLIENT_ID, b"x-request-id"}:
            client_id = value[:256]
        elif plain not in FORBIDDEN:
            kept.append((name, value))
    return kept, client_id


def _echo(client_id: bytes, send: Send) -> Send:
    async def send_with_client_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (CLIENT_ID, client_id)]
        await send(message)

    return send_with_client_id
