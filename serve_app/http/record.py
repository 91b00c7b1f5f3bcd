"""What is written down of a request while it is served; its log line and its trace are readings of
it. Nothing of it is per token.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.scheduling.terms import Level

if TYPE_CHECKING:
    from deployments.ticket import Ticket
    from serve_app.http.endpoint import Endpoint
    from serve_app.http.generation import Usage
    from serve_app.http.tracing import RequestTrace

logger = logging.getLogger(__name__)

OTHER = "other"
"""What is no endpoint, or never came so far as to be one: a request without a key."""
LEFT = 499
"""The status of what nobody waits for any more; nginx's word for it."""
INTERNAL_CODE = "internal_error"
CLIENT_ID = "sluice.client_request_id"
"""Where in a scope the edge leaves the client's own id for a request."""
CAME: ContextVar["Came | None"] = ContextVar("sluice.came", default=None)
"""When the request came to this process, by the edge, which Serve's own work for it lies behind.
Not in the scope, which crosses from Serve's proxy to where other clocks are."""
RECORD = "sluice.record"
"""Where in a scope the record is."""


class Came(NamedTuple):
    """A moment."""

    at: float
    """Monotonic seconds."""
    unix_ns: int
    """The same by the wall clock."""


@dataclass(slots=True)
class Record:
    """One request. Times are monotonic seconds, None where it did not come so far."""

    began: float
    """When its headers had come."""
    began_unix_ns: int
    """The same by the wall clock."""
    method: str
    endpoint: str = OTHER
    """Its path as it is declared, known at the end; never as the client wrote it."""
    status: int = LEFT
    request_id: str = ""
    """The server's own, as the response's `x-request-id` says it."""
    client_request_id: str | None = None
    """The client's. Like the trace context it is what a client may write, so no log has it."""
    traceparent: str | None = None
    tracestate: str | None = None
    trace_id: str | None = None
    """Of the trace that it is part of, be it that of a client that samples it elsewhere."""
    trace: "RequestTrace | None" = None
    """What is made of it where it is sampled."""
    tenant: str | None = None
    key_id: str | None = None
    """Which key was shown; empty where the server has none."""
    model: str | None = None
    """Only of models that there are, and that the client may use."""
    level: Level | None = None
    n: int = 0
    """How many sequences were asked for."""
    stream: bool = False
    read_at: float | None = None
    """When its body had come."""
    body_s: float = 0.0
    """How long that was waited for: a slow client's time, and none of the server's."""
    validated_at: float | None = None
    reached_at: float | None = None
    """When its model could be asked: at once, unless it had to be woken."""
    rendered_at: float | None = None
    """When all that it asks was tokens."""
    answered_at: float | None = None
    """When the answer's headers went out; of a stream, with the first token."""
    tickets: "list[Ticket]" = field(default_factory=list)
    """Its sequences, once the router has taken it in."""
    usage: "Usage | None" = None
    """The tokens as the client is told of them."""
    error: str | None = None
    """The code of the error that it was answered with, be it in a stream that had begun."""
    client_gone: bool = False
    ended: float = 0.0

    @property
    def due_since(self) -> float:
        """Since when its first token is waited for: its beginning, but for the body's wait."""
        return self.began + self.body_s

    @property
    def has_failed(self) -> bool:
        """Whether, at its end, something of the server's went wrong, be it in a stream that had
        begun. What a client did wrong, or that it left, is none of the server's failures."""
        return self.status >= 500 or (self.error is not None and self.status < 400)


Reader = Callable[[Record], object]
"""Makes something of a request that has ended. It is called on the event loop."""


class Tracer(Protocol):
    """Decides what is sampled, and makes traces of it."""

    def begin(self, record: Record, scope: Scope) -> None:
        """A request has come."""

    def end(self, record: Record) -> None:
        """It has ended."""


def record_of(request: Request) -> Record:
    """The record of a request that is being served."""
    return record_in(request.scope)


def record_in(scope: Mapping[str, Any]) -> Record:
    """The same, by the request's scope."""
    record: Record = scope[RECORD]
    return record


class Recording:
    """Keeps a record of every request, also of those that are refused further in. Pure ASGI."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        readers: Sequence[Reader],
        tracer: Tracer | None = None,
        endpoints: "Iterable[Endpoint]",
        now: Callable[[], float] = time.monotonic,
        unix_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`readers` get each record in turn; what one adds to it, those behind it see."""
        self._app = app
        self._tracer = tracer
        self._readers = readers if tracer is None else (*readers, tracer.end)
        self._paths: Mapping[Any, str] = {each.handler: each.path for each in endpoints}
        self._now = now
        self._unix_ns = unix_ns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        record = Record(*(CAME.get() or (self._now(), self._unix_ns())), scope["method"])
        _read_headers(record, scope)
        scope[RECORD] = record
        if self._tracer is not None:
            self._tracer.begin(record, scope)

        def noting(message: Message) -> Any:  # no coroutine of its own: tokens pass here
            if message["type"] == "http.response.start":
                record.status = message["status"]
                record.answered_at = self._now()
            return send(message)

        try:
            await self._app(scope, receive, noting)
        except asyncio.CancelledError:
            record.client_gone = True
            raise
        except Exception:
            record.status, record.error = 500, INTERNAL_CODE
            raise
        finally:
            self._end(record, scope)
        return None

    def _end(self, record: Record, scope: Scope) -> None:
        record.ended = self._now()
        record.endpoint = self._paths.get(scope.get("endpoint"), OTHER)
        if record.client_gone:
            record.status = LEFT
        for read in self._readers:
            try:
                read(record)
            except Exception:  # the client has its answer
                logger.exception("A request's record could not be read")


def _read_headers(record: Record, scope: Scope) -> None:
    record.client_request_id = scope.get(CLIENT_ID)
    for name, value in scope["headers"]:
        if name == b"x-request-id":  # the edge has taken the client's away, and Serve put its own
            record.request_id = value.decode("latin-1")
        elif name == b"traceparent":
            record.traceparent = _joined(record.traceparent, value)
        elif name == b"tracestate":
            record.tracestate = _joined(record.tracestate, value)


def _joined(before: str | None, value: bytes) -> str:
    """A header that is sent twice is the list of both, which no `traceparent` may be."""
    text = value.decode("latin-1")
    return text if before is None else f"{before},{text}"
