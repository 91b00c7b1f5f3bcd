"""What a request's record and its line in the log cost a router, in CPU time.

    python -m bench.request_log [--count 20000] [--rounds 5]

The line of one finished stream is written again and again, to a file; the record is that of the
middleware around an application that does nothing. The best of the rounds counts.
"""

import argparse
import asyncio
import json
import platform
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.logs import LogOptions
from deployments.messages import Sampling
from deployments.scheduling.terms import Level, Terms
from deployments.stream import Stream
from deployments.ticket import Hop, Ticket
from serve_app.http.generation import Usage
from serve_app.http.record import Record, Recording
from serve_app.http.request_log import RequestLog

HEADERS = [(name, b"x" * 36) for name in (b"host", b"accept", b"content-type", b"x-request-id")]


def finished() -> Record:
    """The record of a stream of 64 tokens."""
    ticket = Ticket([1] * 24, Sampling(64), Stream(1, 1), 0, Terms(), expected_output=64, now=1.1)
    ticket.hops = [Hop("4zrnqk38", 1.2)]
    ticket.hops[0].first_at, ticket.hops[0].outcome = 1.3, "finished"
    ticket.finish_reason = "stop"
    return Record(
        1.0,
        0,
        "POST",
        "/v1/chat/completions",
        200,
        "bf7eb640-000b-48e0-8cd0-4d9650c7be74",
        tenant="acme",
        key_id="acme-e4eed0",
        model="sluice-small",
        level=Level.STANDARD,
        n=1,
        stream=True,
        read_at=1.05,
        tickets=[ticket],
        usage=Usage(24, 1, 64),
        ended=1.9,
    )


def line_us(form: str, count: int) -> float:
    """Microseconds a line."""
    record = finished()
    with tempfile.TemporaryFile("w", buffering=1) as file:
        read = RequestLog(LogOptions(format=form), file)
        began = time.process_time()
        for _ in range(count):
            read(record)
        return 1e6 * (time.process_time() - began) / count


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200})


async def request_us(app: ASGIApp, count: int) -> float:
    """Microseconds a request."""

    async def send(message: Message) -> None:
        pass

    async def receive() -> Message:
        raise AssertionError("there is no body")

    began = time.process_time()
    for _ in range(count):
        scope: dict[str, Any] = {"type": "http", "method": "POST", "headers": HEADERS}
        await app(scope, receive, send)
    return 1e6 * (time.process_time() - began) / count


async def measure(count: int, rounds: int) -> dict[str, float]:
    """The best of each."""
    recording = Recording(_nothing, readers=(), endpoints=())

    async def of_line(form: str) -> float:
        return line_us(form, count)

    async def of_record() -> float:
        return await request_us(recording, count) - await request_us(_nothing, count)

    kinds: dict[str, Callable[[], Awaitable[float]]] = {
        "json_us": lambda: of_line("json"),
        "console_us": lambda: of_line("console"),
        "record_us": of_record,
    }
    return {
        name: round(min([await kind() for _ in range(rounds)]), 1) for name, kind in kinds.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(platform.platform(), platform.python_version())
    print(json.dumps(asyncio.run(measure(options.count, options.rounds))))


if __name__ == "__main__":
    main()
