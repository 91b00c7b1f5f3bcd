"""A tracer whose spans a test can look at."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Sampler
from opentelemetry.trace import Tracer


class Kept:
    """What has been exported."""

    def __init__(self, sampler: Sampler = DEFAULT_ON) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer: Tracer = provider.get_tracer("test")

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """All of them, by their beginnings; of those that begin together the longest first."""
        return sorted(
            self._exporter.get_finished_spans(),
            key=lambda span: (span.start_time or 0, -(span.end_time or 0)),
        )

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def one(self, name: str) -> ReadableSpan:
        (span,) = [span for span in self.spans if span.name == name]
        return span

    def seconds(self, name: str) -> float:
        """How long the span of this name took."""
        return seconds(self.one(name))

    def parent_of(self, span: ReadableSpan) -> str | None:
        """The name of what it hangs on, if that is one of these."""
        if span.parent is None:
            return None
        names = {each.context.span_id: each.name for each in self.spans if each.context}
        return names.get(span.parent.span_id)


def seconds(span: ReadableSpan) -> float:
    """How long it took, to the microsecond."""
    assert span.start_time is not None
    assert span.end_time is not None
    return round((span.end_time - span.start_time) / 1e9, 6)
