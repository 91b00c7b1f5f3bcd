"""What an engine replica tells of a traced sequence: `engine wait`, `prefill` and `decode`.

They are made when the sequence has left, of times that were written down once each.
"""

import time
from collections.abc import Callable

from opentelemetry.trace import Span, StatusCode, Tracer

from deployments.messages import Sequence
from deployments.tracing.w3c import parent_of


class SequenceTrace:
    """One traced sequence. Times are monotonic seconds of this host."""

    __slots__ = (
        "_emitted",
        "_now",
        "_offset_ns",
        "_parent",
        "_prompt",
        "_tracer",
        "cached",
        "ended_at",
        "events",
        "first_at",
        "scheduled_at",
        "submitted_at",
        "tokens",
    )

    def __init__(
        self,
        tracer: Tracer,
        sequence: Sequence,
        now: Callable[[], float] = time.monotonic,
        unix_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._tracer = tracer
        self._now = now
        self.submitted_at = now()
        self._offset_ns = unix_ns() - int(self.submitted_at * 1e9)
        self._parent = parent_of(sequence.traceparent, sequence.tracestate)
        self._prompt = len(sequence.prompt_token_ids)
        self._emitted = len(sequence.emitted_token_ids)
        self.scheduled_at: float | None = None
        """When it was first part of an engine step."""
        self.first_at: float | None = None
        self.ended_at: float | None = None
        self.cached = 0
        """Tokens of the prompt that the engine had cached."""
        self.tokens = 0
        """Tokens that the engine has generated of it."""
        self.events: list[tuple[str, float]] = []
        """What else has happened to it in the engine, and when."""

    def scheduled(self, at: float) -> None:
        """A step has it; again, where it had lost its place."""
        if self.scheduled_at is None:
            self.scheduled_at = at
        else:
            self.events.append(("resumed", at))

    def preempted(self, at: float) -> None:
        """Others needed its place in the cache; it waits to be computed again."""
        self.events.append(("preempted", at))

    def began(self, cached: int) -> None:
        """Its first token has come."""
        self.first_at = self._now()
        self.cached = cached

    def ended(self, outcome: str) -> None:
        """Make its spans; `outcome` is a finish reason, or `aborted`, or `error`."""
        if self.ended_at is not None:
            return
        self.ended_at = end = self._now()
        stages = [("engine wait", self.submitted_at)]
        if self.scheduled_at is not None:
            stages.append(("prefill", self.scheduled_at))
        if self.first_at is not None and self.tokens:
            stages.append(("decode", self.first_at))
        ends = [*(start for _, start in stages[1:]), end]
        spans = [self._span(*stage, until) for stage, until in zip(stages, ends, strict=True)]
        last = spans[-1]
        last.set_attribute("sluice.outcome", outcome)
        if outcome == "error":
            last.set_status(StatusCode.ERROR)
        for span, until in zip(spans, ends, strict=True):
            span.end(self._ns(until))

    def _span(self, name: str, start: float, end: float) -> Span:
        span = self._tracer.start_span(name, self._parent, start_time=self._ns(start))
        # Not gen_ai.usage.*: who sums it up over spans would count a token twice.
        if name == "prefill":
            span.set_attribute("sluice.prompt_tokens", self._prompt)
            span.set_attribute("sluice.cached_tokens", self.cached)
            if self._emitted:
                span.set_attribute("sluice.resumed_tokens", self._emitted)
        elif name == "decode":
            span.set_attribute("sluice.output_tokens", self.tokens)
        for event, at in self.events:
            if start <= at < end:
                span.add_event(event, timestamp=self._ns(at))
        return span

    def _ns(self, at: float) -> int:
        return self._offset_ns + int(at * 1e9)
