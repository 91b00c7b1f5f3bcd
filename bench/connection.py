"""One keep-alive HTTP/1.1 connection that carries one request at a time, at little cost a chunk."""

import asyncio
import time

import httptools


class ConnectionLost(Exception):
    """The peer closed the connection, or spoke no HTTP, before the answer was complete."""


class Answer:
    """What came back for one request, and when (perf_counter seconds)."""

    __slots__ = ("arrivals", "done_at", "pieces", "sent_at", "status")

    def __init__(self, sent_at: float) -> None:
        self.status = 0
        self.sent_at = sent_at
        self.done_at = 0.0
        self.pieces: list[bytes] = []
        self.arrivals: list[float] = []
        """One for each piece."""

    def arrivals_until(self, offset: int) -> list[float]:
        """When something of the first `offset` bytes of the body came.

        What came in one read of the socket counts as one arrival.
        """
        end = sum(map(len, self.pieces))
        count = len(self.pieces)
        while count and end - len(self.pieces[count - 1]) >= offset:
            count -= 1
            end -= len(self.pieces[count])
        return list(dict.fromkeys(self.arrivals[:count]))


class Connection(asyncio.Protocol):
    """The pieces of an answer are only kept: whoever asked reads them when all are there."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._answer = Answer(0.0)
        self._now = 0.0

    async def ask(self, request: bytes) -> Answer:
        """Send one request and wait for the end of its answer. Raises ConnectionLost."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionLost("closed")
        self._waiter = asyncio.get_running_loop().create_future()
        self._answer = Answer(time.perf_counter())
        self._transport.write(request)
        return await self._waiter

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is no asyncio.Transport

    def data_received(self, data: bytes) -> None:
        self._now = time.perf_counter()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as exc:
            self._fail(f"not HTTP: {exc}")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(str(exc or "closed by the server"))

    # httptools

    def on_headers_complete(self) -> None:
        self._answer.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        answer = self._answer
        answer.pieces.append(body)
        answer.arrivals.append(self._now)

    def on_message_complete(self) -> None:
        self._answer.done_at = self._now
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(self._answer)
        if self._transport is not None and not self._parser.should_keep_alive():
            self._transport.close()

    def _fail(self, why: str) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionLost(why))
