"""Which engine takes a sequence."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from deployments.scheduling.placement import least_loaded


@dataclass(frozen=True)
class Engine:
    in_flight: int = 0
    others: int = 0
    kv_cache_usage: float = 0.0


engines = st.builds(
    Engine,
    in_flight=st.integers(0, 5),
    others=st.integers(0, 5),
    kv_cache_usage=st.floats(0, 1),
)


def test_the_one_with_the_fewest_of_our_sequences_does() -> None:
    idle = Engine(in_flight=1)
    assert least_loaded([Engine(in_flight=3), idle, Engine(in_flight=2)]) is idle


def test_the_sequences_of_other_routers_count_as_much() -> None:
    idle = Engine(in_flight=2)
    assert least_loaded([Engine(in_flight=1, others=2), idle]) is idle


def test_among_equals_it_is_the_one_with_the_least_kv_in_use() -> None:
    roomy = Engine(others=1, kv_cache_usage=0.2)
    assert least_loaded([Engine(in_flight=1, kv_cache_usage=0.5), roomy]) is roomy


def test_kv_in_use_never_outweighs_a_sequence() -> None:
    full = Engine(in_flight=1, kv_cache_usage=1.0)
    assert least_loaded([Engine(in_flight=2), full]) is full


def test_nobody_does_when_there_is_nobody() -> None:
    assert least_loaded([]) is None


@given(st.lists(engines, min_size=1))
def test_nobody_has_less_to_do(candidates: list[Engine]) -> None:
    chosen = least_loaded(iter(candidates))
    assert chosen is not None
    fewest = min(engine.in_flight + engine.others for engine in candidates)
    assert chosen.in_flight + chosen.others == fewest


@given(st.integers(1, 5), st.integers(0, 50))
def test_sequences_placed_one_after_the_other_are_spread_evenly(count: int, total: int) -> None:
    placed = [Engine() for _ in range(count)]
    for _ in range(total):
        chosen = least_loaded(placed)
        assert chosen is not None
        position = next(i for i, engine in enumerate(placed) if engine is chosen)
        placed[position] = Engine(in_flight=chosen.in_flight + 1)
    assert max(e.in_flight for e in placed) - min(e.in_flight for e in placed) <= 1
