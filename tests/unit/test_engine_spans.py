import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

from deployments.messages import Sampling, Sequence
from deployments.tracing.engine_spans import SequenceTrace
from tests.unit.fakes import FakeClock
from tests.unit.spans import Kept

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
BEGAN_NS = 1_000_000_000_000_000_000


def sequence(**fields: object) -> Sequence:
    context = f"00-{TRACE}-{PARENT}-01"
    given = {"id": 1, "prompt_token_ids": [1, 2, 3], "sampling": Sampling(max_tokens=9)}
    return Sequence(**{**given, "traceparent": context, **fields})  # type: ignore[arg-type]


class Engine:
    """One traced sequence, and a clock."""

    def __init__(self, kept: Kept, **fields: object) -> None:
        self.clock = FakeClock(100.0)
        self.kept = kept
        self.trace = SequenceTrace(kept.tracer, sequence(**fields), self.clock, lambda: BEGAN_NS)

    def generates(self) -> None:
        """Waits 1 s, takes its prompt in for 2 s and generates 4 tokens in 3 s."""
        self.trace.scheduled(101.0)
        self.clock.now = 103.0
        self.trace.began(cached=2)
        self.trace.tokens = 4
        self.clock.now = 106.0
        self.trace.ended("stop")


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def engine(kept: Kept) -> Engine:
    return Engine(kept)


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def test_three_spans_follow_each_other_without_a_gap(engine: Engine, kept: Kept) -> None:
    engine.generates()
    assert kept.names == ["engine wait", "prefill", "decode"]
    assert [kept.seconds(name) for name in kept.names] == [1.0, 2.0, 3.0]
    first, second, third = kept.spans
    assert first.start_time == BEGAN_NS
    assert (first.end_time, second.end_time) == (second.start_time, third.start_time)


def test_they_hang_on_the_routers_span(engine: Engine, kept: Kept) -> None:
    engine.generates()
    for span in kept.spans:
        assert span.parent is not None
        assert span.parent.is_remote
        assert f"{span.parent.span_id:016x}" == PARENT
        assert span.context is not None
        assert f"{span.context.trace_id:032x}" == TRACE


def test_they_count_tokens(engine: Engine, kept: Kept) -> None:
    engine.generates()
    assert attributes(kept.one("engine wait")) == {}
    assert attributes(kept.one("prefill")) == {"sluice.prompt_tokens": 3, "sluice.cached_tokens": 2}
    assert attributes(kept.one("decode")) == {"sluice.output_tokens": 4, "sluice.outcome": "stop"}


def test_what_another_engine_has_generated_is_told_apart(kept: Kept) -> None:
    engine = Engine(kept, emitted_token_ids=[7, 8])
    engine.generates()
    assert attributes(kept.one("prefill"))["sluice.resumed_tokens"] == 2


def test_a_preemption_is_an_event_of_what_it_interrupts(engine: Engine, kept: Kept) -> None:
    engine.trace.scheduled(101.0)
    engine.clock.now = 103.0
    engine.trace.began(cached=0)
    engine.trace.preempted(104.0)
    engine.trace.scheduled(105.0)
    engine.trace.tokens = 4
    engine.clock.now = 106.0
    engine.trace.ended("length")
    assert [event.name for event in kept.one("decode").events] == ["preempted", "resumed"]
    assert not kept.one("prefill").events


def test_one_that_is_aborted_ends_where_it_was(engine: Engine, kept: Kept) -> None:
    engine.trace.scheduled(101.0)
    engine.clock.now = 102.0
    engine.trace.ended("aborted")
    assert kept.names == ["engine wait", "prefill"]
    assert attributes(kept.one("prefill"))["sluice.outcome"] == "aborted"
    assert kept.one("prefill").status.is_unset


def test_one_that_fails_is_an_error(engine: Engine, kept: Kept) -> None:
    engine.clock.now = 102.0
    engine.trace.ended("error")
    assert not kept.one("engine wait").status.is_ok
    assert not kept.one("engine wait").status.is_unset


def test_an_input_that_is_pooled_is_not_decoded(engine: Engine, kept: Kept) -> None:
    engine.trace.scheduled(101.0)
    engine.clock.now = 103.0
    engine.trace.began(cached=0)
    engine.trace.ended("stop")
    assert kept.names == ["engine wait", "prefill"]
    assert kept.seconds("prefill") == 2.0


def test_it_ends_once(engine: Engine, kept: Kept) -> None:
    engine.generates()
    engine.trace.ended("aborted")
    assert len(kept.spans) == 3


def test_whatever_the_operator_would_sample_the_router_has_decided() -> None:
    kept = Kept(ParentBased(ALWAYS_OFF))
    Engine(kept).generates()
    assert len(kept.spans) == 3


def test_the_clients_trace_state_goes_on(kept: Kept) -> None:
    Engine(kept, tracestate="vendor=x").generates()
    for span in kept.spans:
        assert span.context is not None
        assert span.context.trace_state.get("vendor") == "x"
