"""HTTP/1.1 on the wire: uvicorn's protocol, with an end to all that a client could draw out.

uvicorn by itself takes a request's head of any length, for as long as it takes to come, and goes on
reading a body when the answer has been sent. HAProxy bounds the first two in front of us; whoever
reaches a replica or Serve's own proxy directly meets these bounds.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn import config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serve_app.http import errors

HEAD_BYTES = 64 * 1024
"""Of a request's line and headers."""
HEAD_S = 10.0
"""How long they may take to come."""
LINGER_BYTES = 4 * 1024 * 1024
LINGER_S = 2.0
"""How much is read and dropped behind an answer, and for how long, so that a client that is still
sending can read why it should not. Closing at once would lose it the answer."""


def install() -> None:
    """Serve leaves uvicorn the choice of a protocol: make this one its choice."""
    config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{Protocol.__name__}"


class Protocol(HttpToolsProtocol):
    """A connection. A request that comes in one piece, as most do, costs no timer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head = 0
        """Bytes of a head that is not complete."""
        self._in_body = False
        self._refused = False
        self._left: int | None = None
        """How many bytes may still come behind an answer; None while there is none."""
        self._timer: asyncio.TimerHandle | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm(HEAD_S, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                self._close()
        if self._refused or self.transport.is_closing():
            return
        if not self._in_body:
            self._head += len(data)
        super().data_received(data)
        if self._head and not self._refused:
            if self._head > HEAD_BYTES:
                self._refuse(431, f"Send at most {HEAD_BYTES} bytes of headers.")
            elif self._timer is None:
                self._arm(HEAD_S, self._late)

    # httptools

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = self._head or 1

    def on_headers_complete(self) -> None:
        self._head = 0
        self._in_body = True
        self._disarm()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        if self._left is not None:  # the answer has gone before: only now this is a pause
            self._left = None
            self._disarm()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        super().on_message_complete()

    # uvicorn

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # A request behind it in the pipeline may be the one whose body is coming.
        if self._in_body and self.cycle.response_complete and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._linger()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg, "invalid_http")

    def _late(self) -> None:
        if self._head:
            self._refuse(408, f"The headers did not come within {HEAD_S:g} seconds.")
        else:
            self._close()

    def _refuse(self, status: int, message: str, code: str | None = None) -> None:
        """Answer what never became a request, and take no other from here."""
        self._refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            self._close()  # what is written now would be part of another answer
            return
        content = errors.body(status, message, code=code)
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d"
        self.transport.write(STATUS_LINE[status] + head % len(content) + b"\r\n\r\n" + content)
        self.transport.write_eof()
        self._linger()

    def _linger(self) -> None:
        self._left = LINGER_BYTES
        self._disarm()
        self._arm(LINGER_S, self._close)

    def _close(self) -> None:
        self._disarm()
        if not self.transport.is_closing():
            self.transport.close()

    def _arm(self, seconds: float, callback: Callable[[], None]) -> None:
        self._timer = self.loop.call_later(seconds, callback)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
