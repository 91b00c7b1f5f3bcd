"""Frames over TCP between a router and an engine replica, or over a socket of another kind.

A frame is a four-byte little-endian length and one msgpack message. Why not Ray's own streaming
calls: docs/architecture.md has the measurement. Ray still decides who runs where, tells each
router which replicas live, and carries the address and the secret.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import msgspec

logger = logging.getLogger(__name__)

MAX_FRAME_BYTES = 256 * 1024 * 1024
VANISHED_AFTER_MS = 30_000
"""How long what was sent may stay unacknowledged before the connection counts as lost."""
MAX_UNSENT_BYTES = 64 * 1024 * 1024
"""A peer that is this far behind is cut off, so that it cannot take the replica's memory. The
largest message sent to it is not counted: one alone may be larger and means nothing."""

T = TypeVar("T")


class Connection(asyncio.Protocol, Generic[T]):
    """One end of a connection: whole messages in, whole messages out, all on one event loop.

    `on_message(connection, message)` is called in order for each message, `on_lost(connection)`
    once at the end. A frame that does not decode ends the connection.
    """

    def __init__(
        self,
        incoming: Any,
        on_message: Callable[["Connection[T]", T], None],
        on_lost: Callable[["Connection[T]"], None],
        on_made: Callable[["Connection[T]"], None] = lambda _: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._decode = msgspec.msgpack.Decoder(incoming).decode
        self._encode_into = msgspec.msgpack.Encoder().encode_into
        self._on_message = on_message
        self._on_lost = on_lost
        self._on_made = on_made
        self._now = now
        self.received_at = now()
        """When the end of the message came that is handed on."""
        self.max_frame_bytes = MAX_FRAME_BYTES
        """A longer frame ends the connection."""
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._outgoing = bytearray()
        self._largest = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # a host that vanished says no goodbye
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, VANISHED_AFTER_MS)
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one only by behaviour
        self._on_made(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self._on_lost(self)

    def data_received(self, data: bytes) -> None:
        self.received_at = self._now()
        received = self._received
        received += data
        start, end = 0, len(received)
        while end - start >= 4:
            length = int.from_bytes(received[start : start + 4], "little")
            if length > self.max_frame_bytes:
                logger.error("A frame of %d bytes has come; the connection is cut.", length)
                return self.abort()
            stop = start + 4 + length
            if stop > end:
                break
            try:
                message = self._decode(memoryview(received)[start + 4 : stop])
            except Exception as exc:  # of Unicode and of recursion, too, not only msgspec's own
                logger.error("No message has come, but %r; the connection is cut.", exc)
                return self.abort()
            start = stop
            self._on_message(self, message)
            if not self.is_open:
                return None
        if start:
            self._received = received[start:]
        return None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, message: msgspec.Struct) -> None:
        """Queue `message` for sending; a closed connection drops it."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        outgoing = self._outgoing
        self._encode_into(message, outgoing, 4)
        outgoing[:4] = (len(outgoing) - 4).to_bytes(4, "little")
        # The transport may keep what it is given, so it gets its own copy.
        transport.write(bytes(outgoing))
        self._largest = max(self._largest, len(outgoing))
        if transport.get_write_buffer_size() > MAX_UNSENT_BYTES + self._largest:
            logger.error("A peer takes nothing of what is sent to it; the connection is cut.")
            self.abort()

    def close(self) -> None:
        """Send what is queued, then close."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
