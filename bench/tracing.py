"""What tracing costs a request, in CPU time of the processes that serve.

    python -m bench.tracing [--requests 4000] [--rounds 5]

Requests with one sequence go through the middleware that keeps records, and nothing else is done
for them; then a sequence's three spans are made as an engine replica makes them. Spans go over HTTP
to a process of its own, and what the exporting thread takes is part of the figure. The figure is
the best of the rounds, as noise only adds.
"""

import argparse
import asyncio
import json
import multiprocessing
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from deployments.messages import Sampling
from deployments.messages import Sequence as EngineSequence
from deployments.scheduling.terms import Level, Terms
from deployments.stream import Stream
from deployments.ticket import Hop, Ticket
from deployments.tracing.engine_spans import SequenceTrace
from deployments.tracing.provider import Tracing
from serve_app.http.app import ENDPOINTS
from serve_app.http.generation import Usage
from serve_app.http.record import RECORD, Record, Recording, Tracer
from serve_app.http.tracing import RequestTracer

SHARES = (0.0, 0.1, 1.0)
_PATH = "/v1/chat/completions"
_SAMPLING = Sampling(max_tokens=64, seed=1)
_BY_PATH = {endpoint.path: endpoint.handler for endpoint in ENDPOINTS}


class _Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _serve(ports: Any) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    ports.put(server.server_address[1])
    server.serve_forever()


@contextmanager
def serve_sink() -> Iterator[int]:
    """The port of a process that takes spans over HTTP, and does nothing with them."""
    spawning = multiprocessing.get_context("spawn")
    ports = spawning.Queue()
    sink = spawning.Process(target=_serve, args=(ports,), daemon=True)
    sink.start()
    try:
        yield ports.get(timeout=30)
    finally:
        sink.kill()
        sink.join()


async def _endpoint(scope: Any, receive: Any, send: Any) -> None:
    """What the endpoints write down, at no cost of their own."""
    record: Record = scope[RECORD]
    scope["endpoint"] = _BY_PATH[_PATH]
    now = time.monotonic()
    record.model, record.level, record.tenant = "sluice-small", Level.STANDARD, "anonymous"
    record.read_at = record.validated_at = record.reached_at = record.rendered_at = now
    record.usage, record.stream = Usage(64, 1, 64), True
    ticket = Ticket(
        [], _SAMPLING, _STREAM[0], 0, Terms(), expected_output=64, now=now, trace=record.trace
    )
    hop = Hop("engine", now)
    ticket.hops.append(hop)
    ticket.sequence(1)
    hop.first_at = hop.left_at = time.monotonic()
    hop.outcome, ticket.finish_reason = "finished", "length"
    record.tickets.append(ticket)
    await send({"type": "http.response.start", "status": 200, "headers": []})


_STREAM: list[Stream] = []


async def _receive() -> Any:
    return {}


async def _send(_: Any) -> None:
    pass


async def _requests(count: int, tracer: Tracer | None) -> float:
    """Seconds of CPU, those of exporting aside as far as it is not done yet."""
    _STREAM[:] = [Stream(1, 1000)]
    app = Recording(_endpoint, readers=(), tracer=tracer, endpoints=ENDPOINTS)
    began = time.process_time()
    for _ in range(count):
        scope = {"type": "http", "method": "POST", "path": _PATH, "headers": []}
        await app(scope, _receive, _send)
    return time.process_time() - began


async def router_us(count: int, share: float | None, port: int) -> float:
    """Microseconds a request; without a share tracing is off."""
    if share is None:
        return 1e6 * await _requests(count, None) / count
    tracing = Tracing(_variables(port, share), "bench", follows=False)
    spent = await _requests(count, RequestTracer(tracing.tracer, ENDPOINTS))
    return 1e6 * (spent + await _closing(tracing)) / count


async def engine_us(count: int, port: int) -> float:
    """Microseconds a traced sequence."""
    tracing = Tracing(_variables(port, 1.0), "bench", follows=True)
    context = f"00-{'1' * 32}-{'1' * 16}-01"
    sequence = EngineSequence(1, [1], _SAMPLING, traceparent=context)
    began = time.process_time()
    for _ in range(count):
        trace = SequenceTrace(tracing.tracer, sequence)
        trace.scheduled(time.monotonic())
        trace.began(0)
        trace.tokens = 64
        trace.ended("length")
    spent = time.process_time() - began
    return 1e6 * (spent + await _closing(tracing)) / count


async def _closing(tracing: Tracing) -> float:
    began = time.process_time()
    await tracing.close()
    return time.process_time() - began


def _variables(port: int, share: float) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_TRACES_SAMPLER": "traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": str(share),
        "OTEL_BSP_MAX_QUEUE_SIZE": "1000000",  # nothing is dropped at this speed
    }


def _best(rounds: int, once: Callable[[], float]) -> float:
    return round(min(once() for _ in range(rounds)), 1)


def measure(count: int, rounds: int, port: int) -> dict[str, float]:
    """All figures, in microseconds of CPU."""

    def router(share: float | None) -> float:
        return _best(rounds, lambda: asyncio.run(router_us(count, share, port)))

    off = router(None)
    figures = {"router, off": off}
    for share in SHARES:
        figures[f"router, {share:.0%} sampled, more than off"] = round(router(share) - off, 1)
    figures["engine replica, a traced sequence"] = _best(
        rounds, lambda: asyncio.run(engine_us(count, port))
    )
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    with serve_sink() as port:
        figures = measure(options.requests, options.rounds, port)
    print(platform.platform(), platform.python_version())
    for name, figure in figures.items():
        print(f"{figure:8.1f} us  {name}")
    print(json.dumps({"us_of_cpu": figures}))


if __name__ == "__main__":
    main()
