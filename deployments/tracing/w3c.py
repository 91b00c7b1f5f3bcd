"""A trace's context in W3C's words, from one process to the next."""

from opentelemetry.context import Context as OtelContext
from opentelemetry.trace import SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from deployments.tracing.context import Context

NO_PARENT = OtelContext()
_propagator = TraceContextTextMapPropagator()


def parent_of(traceparent: str | None, tracestate: str | None) -> OtelContext:
    """What spans hang on; a `traceparent` that is wrong is passed over.

    Not on what is current here: requests share their processes' event loops.
    """
    headers = {"traceparent": traceparent or ""}
    if tracestate is not None:
        headers["tracestate"] = tracestate
    return _propagator.extract(headers, NO_PARENT)


def written(context: SpanContext) -> Context:
    """What hangs spans of another process on the one of this context."""
    return Context(
        f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}",
        context.trace_state.to_header() or None,
    )
