"""A receiver of OTLP on a socket, over HTTP or gRPC, and the traces that it has received."""

import gzip
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from tests.support.server import eventually


@dataclass(frozen=True)
class Span:
    """One span, as it came over the wire. Times are nanoseconds since the epoch."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    kind: int
    is_error: bool
    attributes: dict[str, Any]
    events: list[tuple[str, int]]
    links: list[str]
    resource: dict[str, Any]
    trace_state: str = ""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.end - self.start) / 1e9

    @property
    def event_names(self) -> list[str]:
        """What happened in it."""
        return [name for name, _ in self.events]


@dataclass
class Received:
    """Everything that has come, in any process's batches."""

    port: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)
    """Of each request, in lower case."""
    raw: list[bytes] = field(default_factory=list)
    """The requests themselves, for what must not be in them."""
    spans: list[Span] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        """Its address as OTEL_EXPORTER_OTLP_ENDPOINT takes it."""
        return f"http://127.0.0.1:{self.port}"

    def take(self, content: bytes, headers: dict[str, str]) -> None:
        """Add one request."""
        self.raw.append(content)
        self.headers.append({name.lower(): value for name, value in headers.items()})
        self.spans += _spans(ExportTraceServiceRequest.FromString(content))

    def of(self, trace_id: str) -> list[Span]:
        """The spans of one trace, by their beginnings; of two at a time the longer first."""
        found = [span for span in self.spans if span.trace_id == trace_id]
        return sorted(found, key=lambda span: (span.start, -span.end))

    def wait_for(self, trace_id: str, *names: str, within_s: float = 30) -> "Trace":
        """The trace, once it has all spans of these names."""
        eventually(
            lambda: set(names) <= {span.name for span in self.of(trace_id)},
            within_s,
            f"trace {trace_id} has {names}, and not only {[s.name for s in self.of(trace_id)]}",
        )
        return Trace(self.of(trace_id))


class Trace:
    """The spans of one request."""

    def __init__(self, spans: list[Span]) -> None:
        self.spans = spans
        self._by_id = {span.span_id: span for span in spans}

    def all(self, name: str) -> list[Span]:
        """Those of this name."""
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> Span:
        """The only one of this name."""
        (span,) = self.all(name)
        return span

    def parent(self, span: Span) -> Span:
        """What it hangs on."""
        return self._by_id[span.parent_id]

    def children(self, span: Span) -> list[Span]:
        """What hangs on it."""
        return [other for other in self.spans if other.parent_id == span.span_id]

    @property
    def root(self) -> Span:
        """What hangs on no span of ours."""
        (root,) = [span for span in self.spans if span.parent_id not in self._by_id]
        return root

    def tree(self) -> str:
        """For a reader: names and milliseconds."""
        lines: list[str] = []

        def add(span: Span, depth: int) -> None:
            lines.append(f"{1000 * span.seconds:9.2f} ms  {'   ' * depth}{span.name}")
            for child in self.children(span):
                add(child, depth + 1)

        add(self.root, 0)
        return "\n".join(lines)


@contextmanager
def over_http() -> Iterator[Received]:
    """A receiver of OTLP over HTTP, as protobuf."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            assert self.headers["content-type"] == "application/x-protobuf"
            content = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                content = gzip.decompress(content)
            received.take(content, dict(self.headers))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    received.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def over_grpc() -> Iterator[Received]:
    """A receiver of OTLP over gRPC."""
    received = Received()

    class Servicer(TraceServiceServicer):
        def Export(  # noqa: N802
            self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
        ) -> ExportTraceServiceResponse:
            headers = {str(name): str(value) for name, value in context.invocation_metadata()}
            received.take(request.SerializeToString(), headers)
            return ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(4))
    add_TraceServiceServicer_to_server(Servicer(), server)  # type: ignore[no-untyped-call]
    received.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield received
    finally:
        server.stop(None).wait()


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for each in request.resource_spans:
        resource = _attributes(each.resource.attributes)
        for scope in each.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.kind,
                    span.status.code == span.status.STATUS_CODE_ERROR,
                    _attributes(span.attributes),
                    [(event.name, event.time_unix_nano) for event in span.events],
                    [link.span_id.hex() for link in span.links],
                    resource,
                    span.trace_state,
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return None if kind is None else getattr(value, kind)
