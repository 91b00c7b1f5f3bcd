"""A request's trace: when it is sampled, which spans it has, and what goes to engines of it.

    POST /v1/chat/completions
     ├── receive       until its body has come
     ├── validate
     ├── wake          where its model had to be started first
     ├── tokenize
     ├── admit         a form tried out, terms looked up, the forecast asked
     └── chat MODEL    of it, for each sequence:
          ├── queue
          └── place    its stay with an engine; below it what the engine tells
                       (deployments.tracing.engine_spans), and after a move another queue and place

Whether it is sampled is decided once, when it comes. Of what is sampled three kinds of spans are
begun as they happen, because others hang on them; the rest is made at the end of its record.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from opentelemetry.context import Context as OtelContext
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)

from deployments.ticket import Hop, Ticket
from deployments.tracing.context import Context
from deployments.tracing.w3c import NO_PARENT, parent_of, written
from serve_app.http import trace_attributes as attributes

if TYPE_CHECKING:
    from starlette.types import Scope

    from serve_app.http.endpoint import Endpoint
    from serve_app.http.record import Record
    from serve_app.http.trace_content import Content

_WOKEN_S = 0.001
"""A model that was there is reached in less."""


class RequestTracer:
    """Decides which requests are traced, and makes their traces."""

    def __init__(
        self,
        tracer: Tracer,
        endpoints: "Iterable[Endpoint]",
        *,
        takes_context: bool = True,
        wants_content: bool = False,
    ) -> None:
        """`takes_context`: whether a client's own trace goes on here. `wants_content`: whether
        traces have what clients and models have said."""
        self._tracer = tracer
        self._wants_content = wants_content
        self._takes_context = takes_context
        self._routes: Mapping[str, str] = {
            path: endpoint.path
            for endpoint in endpoints
            if endpoint.request is not None
            for path in endpoint.paths
        }
        """What asks for work, and by what name. Probes and scrapes come all the time."""

    def begin(self, record: "Record", scope: "Scope") -> None:
        """A request has come; its record gets a trace if it is sampled."""
        path: str = scope["path"]
        route = self._routes.get(path.removeprefix(scope.get("root_path", "")))
        if route is None:
            return
        parent = self._parent(record)
        span = self._tracer.start_span(
            f"{record.method} {route}",
            parent,
            SpanKind.SERVER,
            attributes.of_begun(record.method, route, scope),
            start_time=record.began_unix_ns,
        )
        sampled = span.is_recording()
        if sampled or get_current_span(parent).get_span_context().is_valid:
            record.trace_id = f"{span.get_span_context().trace_id:032x}"
        if sampled:
            record.trace = RequestTrace(self._tracer, record, route, span)
            record.trace.wants_content = self._wants_content

    def end(self, record: "Record") -> None:
        """It has ended, and its record is complete."""
        if record.trace is not None:
            record.trace.end()

    def _parent(self, record: "Record") -> OtelContext:
        if not self._takes_context:
            return NO_PARENT
        return parent_of(record.traceparent, record.tracestate)


class RequestTrace:
    """A request that is sampled."""

    def __init__(self, tracer: Tracer, record: "Record", route: str, server: Span) -> None:
        self._tracer = tracer
        self._record = record
        self._operation = attributes.operation(route)
        self._server = server
        self._below_server = set_span_in_context(server, NO_PARENT)
        self._inference: Span | None = None
        self._below_inference = NO_PARENT
        self._hops: dict[Hop, Span] = {}
        self.wants_content = False
        """Whether `content` is to be given to it."""
        self.content: Content | None = None

    def placed(self, ticket: Ticket, hop: Hop) -> Context:
        """One of its sequences goes to an engine; what the engine gets of the trace."""
        if self._inference is None:
            self._begin_inference(ticket.arrived_at)
        link = None
        if len(ticket.hops) > 1:
            before = self._hops[ticket.hops[-2]]
            link = [Link(before.get_span_context(), {"sluice.moved": True})]
        span = self._tracer.start_span(
            "place", self._below_inference, links=link, start_time=self._ns(hop.placed_at)
        )
        self._hops[hop] = span
        return written(span.get_span_context())

    def end(self) -> None:
        """Its record is complete."""
        record = self._record
        self._stages()
        if record.tickets:
            if self._inference is None:
                self._begin_inference(record.tickets[0].arrived_at)
            for ticket in record.tickets:
                self._sequence(ticket)
            self._end_inference()
        self._server.set_attributes(attributes.of_ended(record))
        if record.has_failed:
            self._server.set_status(StatusCode.ERROR)
        self._server.end(self._ns(record.ended))

    def _stages(self) -> None:
        """What was done for it before it was admitted, without a gap; the last may be open."""
        record = self._record
        marks = [("receive", record.read_at), ("validate", record.validated_at)]
        woken, validated = record.reached_at, record.validated_at
        if woken is not None and validated is not None and woken - validated > _WOKEN_S:
            marks.append(("wake", woken))
        marks.append(("tokenize", record.rendered_at))
        if record.tickets or record.error is not None:
            marks.append(("admit", record.tickets[0].arrived_at if record.tickets else None))
        start = record.began
        for name, end in marks:
            self._span(name, self._below_server, start, record.ended if end is None else end)
            if end is None:
                return
            start = end

    def _begin_inference(self, at: float) -> None:
        name = f"{self._operation} {self._record.model or ''}".rstrip()
        self._inference = self._tracer.start_span(name, self._below_server, start_time=self._ns(at))
        self._below_inference = set_span_in_context(self._inference, NO_PARENT)

    def _end_inference(self) -> None:
        record, span = self._record, self._inference
        assert span is not None
        span.set_attributes(attributes.of_inference(record, self._operation))
        if self.content is not None:
            span.set_attributes(self.content.attributes(record.tickets))
        first = min(
            (hop.first_at for t in record.tickets for hop in t.hops if hop.first_at is not None),
            default=None,
        )
        if first is not None:
            span.add_event("first_token", timestamp=self._ns(first))
            if record.stream:
                span.set_attribute("gen_ai.response.time_to_first_chunk", first - record.began)
        if record.error is not None:
            span.set_attribute("error.type", record.error)
        if record.has_failed:
            span.set_status(StatusCode.ERROR)
        span.end(self._ns(record.ended))

    def _sequence(self, ticket: Ticket) -> None:
        """Where it waited and where it was."""
        which = attributes.of_sequence(ticket) if len(self._record.tickets) > 1 else {}
        since: float | None = ticket.arrived_at
        for number, hop in enumerate(ticket.hops):
            assert since is not None
            self._span("queue", self._below_inference, since, hop.placed_at, which)
            self._end_hop(ticket, number, hop, which)
            since = hop.left_at if hop.outcome == "moved" else None
        if since is not None:  # it was not placed, or not again
            self._span("queue", self._below_inference, since, self._record.ended, which)

    def _end_hop(self, ticket: Ticket, number: int, hop: Hop, which: attributes.Attributes) -> None:
        span = self._hops[hop]
        span.set_attributes({**which, "sluice.engine": hop.engine, "sluice.moves": number})
        if hop.outcome is not None:
            span.set_attribute("sluice.outcome", hop.outcome)
        if hop.why is not None:
            span.set_attribute("sluice.moved.reason", hop.why)
        if not number:
            span.set_attribute("sluice.cached_tokens", ticket.cached)
        if hop.first_at is not None:
            span.add_event("first_token", timestamp=self._ns(hop.first_at))
        if hop.outcome == "failed" or hop.why is not None:
            span.set_status(StatusCode.ERROR, hop.why)
        span.end(self._ns(self._record.ended if hop.left_at is None else hop.left_at))

    def _span(
        self,
        name: str,
        parent: OtelContext,
        start: float,
        end: float,
        given: attributes.Attributes | None = None,
    ) -> None:
        span = self._tracer.start_span(name, parent, attributes=given, start_time=self._ns(start))
        span.end(self._ns(end))

    def _ns(self, at: float) -> int:
        return self._record.began_unix_ns + int((at - self._record.began) * 1e9)
