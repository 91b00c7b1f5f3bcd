"""Traced sequences on their way out of the engine.

With the other modules named vllm_*, all that touches vLLM; written against 0.32.0. A sequence that
is not traced does not pass here.
"""

from collections.abc import Hashable

from opentelemetry.trace import Tracer
from vllm.v1.engine import EngineCoreEventType, EngineCoreOutput

from deployments.messages import Delta, Sequence
from deployments.tracing.engine_spans import SequenceTrace
from deployments.vllm_pooling import Pooled
from deployments.vllm_sequence import Running


class Traced:
    """Stands for a sequence, and tells its trace what comes of it."""

    __slots__ = ("_advance", "_trace", "id", "owner", "request_id")

    def __init__(self, sequence: Running | Pooled, trace: SequenceTrace) -> None:
        self.owner: Hashable = sequence.owner
        self.id: int = sequence.id
        self.request_id: str = sequence.request_id
        self._advance = sequence.advance
        self._trace = trace

    def advance(self, output: EngineCoreOutput) -> Delta | None:
        """Take in one step's output."""
        trace = self._trace
        if output.events is not None:
            for event in output.events:
                if event.type == EngineCoreEventType.SCHEDULED:
                    trace.scheduled(event.timestamp)
                else:
                    trace.preempted(event.timestamp)
        if trace.first_at is None:
            stats = output.prefill_stats
            trace.began(0 if stats is None else stats.num_cached_tokens)
        delta: Delta | None = self._advance(output)
        if delta is not None:
            trace.tokens += len(delta.token_ids)
        return delta


class Traces:
    """The traced sequences of one engine, by the names that the engine has for them."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._traces: dict[str, SequenceTrace] = {}

    def submitted(self, name: str, sequence: Sequence) -> None:
        """A sequence has come; one whose request is not sampled has no context."""
        if sequence.traceparent is not None:
            self._traces[name] = SequenceTrace(self._tracer, sequence)

    def watched(self, sequence: Running | Pooled) -> Traced | None:
        """What stands for a sequence, if it is traced."""
        trace = self._traces.get(sequence.request_id)
        return None if trace is None else Traced(sequence, trace)

    def left(self, name: str, outcome: str) -> None:
        """A sequence is no longer here."""
        trace = self._traces.pop(name, None)
        if trace is not None:
            trace.ended(outcome)
