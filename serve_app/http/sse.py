"""Streaming responses: one ASGI message for whatever has come since the last one."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from deployments.errors import SluiceError
from deployments.scheduling.terms import Terms
from deployments.stream import Indexed, Stream
from serve_app.http import errors
from serve_app.http.generation import Sequences
from serve_app.http.record import Record, record_in
from serve_app.http.service import Service

DONE = b"data: [DONE]\n\n"
COMMENT = b": waiting\n\n"
COMMENT_EVERY_S = 5.0
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
]


def timing(stream: Stream) -> list[tuple[bytes, bytes]]:
    """What the router tells of a request's wait, in milliseconds: how long it waited for an engine,
    and after how long its first token was to come when it was admitted."""
    return [
        (b"x-sluice-wait-ms", b"%d" % round(1000 * stream.waited_s)),
        (b"x-sluice-predicted-ms", b"%d" % round(1000 * stream.predicted_s)),
    ]


async def _comes_soon(stream: Stream) -> bool:
    """Whether something can be read, be it an error, before the next comment is due."""
    try:
        async with asyncio.timeout(COMMENT_EVERY_S):
            await stream.ready()
    except TimeoutError:
        return False
    return True


async def _send_comments(stream: Stream, send: Send) -> None:
    """Until something can be read."""
    body = {"type": "http.response.body", "body": COMMENT, "more_body": True}
    await send(body)
    while not await _comes_soon(stream):
        await send(body)


def _cutter(record: Record) -> Callable[[], None]:
    """What ends this task's wait for a reader that does not read."""
    task = asyncio.current_task()
    assert task is not None
    return partial(_cut_off, task, record)


def _cut_off(task: asyncio.Task[object], record: Record) -> None:
    record.error = "client_too_slow"
    task.cancel()


class Encoder(Protocol):
    """Turns deltas into events."""

    def encode(self, batch: Sequence[Indexed]) -> bytes:
        """The events for these deltas; may be empty."""

    def end(self) -> bytes:
        """What follows the last delta, before `[DONE]`."""


class EventStream(Response):
    """Generates while it is sent; a client that leaves cancels it, which frees everything.

    Headers go out with the first delta, so that whatever fails before it still gets its status.
    After that a failure is an error event, without a `[DONE]`. While a model is being woken that
    sleeps, headers go out after some seconds, and then comments, which clients pass over: nobody on
    the way is to take the connection for dead.
    """

    def __init__(
        self, service: Service, model: str, sequences: Sequences, terms: Terms, encoder: Encoder
    ) -> None:
        self._service = service
        self._model = model
        self._sequences = sequences
        self._terms = terms
        self._encoder = encoder
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = record_in(scope)
        asleep = self._service.router.pool(self._model).asleep
        with self._service.router.generate(
            self._model,
            self._sequences,
            self._terms,
            buffer_limit=self._service.stream_buffer_chars,
            tickets=record.tickets,
            trace=record.trace,
        ) as stream:
            begun = asleep and not await _comes_soon(stream)
            first = () if begun else await stream.read()
            stream.on_overflow = _cutter(record)
            try:
                headers = [*_HEADERS, *(() if begun else timing(stream))]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                if begun:
                    await _send_comments(stream, send)
                last = await self._send_events(stream, first, send, record)
            finally:
                # It leads back to the stream: cycles of thousands of requests, found together, are
                # a pause of a quarter of a second.
                stream.on_overflow = None
        await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _send_events(
        self, stream: Stream, batch: Sequence[Indexed], send: Send, record: Record
    ) -> bytes:
        """Send every event but the last ones, which are returned."""
        encode, shown = self._encoder.encode, stream.shown
        try:
            batch = batch or await stream.read()
            while True:
                events = encode(batch)
                if not stream.unfinished and not stream.has_pending:
                    shown(batch)  # to be written with what its end is
                    return events + self._encoder.end() + DONE
                if events:
                    await send({"type": "http.response.body", "body": events, "more_body": True})
                shown(batch)
                batch = await stream.read()
        except Exception as exc:
            if not isinstance(exc, SluiceError):
                errors.log_crash(record, exc)
            record.error = errors.code_of(exc)
            return errors.event(exc)
