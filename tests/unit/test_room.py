"""How much more an engine replica should be given now."""

from hypothesis import given
from hypothesis import strategies as st

from deployments.scheduling.room import PREFILL_STEPS, Capacity, Room, room

CAPACITY = Capacity(max_num_seqs=32, kv_cache_tokens=10_000, max_num_batched_tokens=256)
CAPACITIES = st.builds(
    Capacity,
    max_num_seqs=st.integers(1, 1024),
    kv_cache_tokens=st.integers(16, 10**6),
    max_num_batched_tokens=st.integers(16, 16_384),
)


def seen(
    *,
    in_flight: int = 0,
    others: int = 0,
    routers: int = 1,
    kv_cache_usage: float = 0.0,
    prefilling: int = 0,
    capacity: Capacity = CAPACITY,
) -> Room:
    return room(
        capacity,
        in_flight=in_flight,
        others=others,
        routers=routers,
        kv_cache_usage=kv_cache_usage,
        prefilling=prefilling,
    )


class TestSlots:
    def test_are_those_that_nobody_has(self) -> None:
        assert seen(in_flight=10, others=5).slots == 17

    def test_never_go_below_none(self) -> None:
        assert seen(in_flight=40).slots == 0

    def test_are_shared_by_routers_and_the_last_one_is_everybodys(self) -> None:
        assert seen(in_flight=12, others=12, routers=3).slots == 3
        assert seen(in_flight=15, others=16, routers=3).slots == 1

    def test_the_last_few_are_not_for_everyone(self) -> None:
        nearly_full = seen(in_flight=30)
        assert nearly_full.reserved == 2
        assert not nearly_full.is_general
        assert nearly_full.is_reserved

    def test_of_a_full_engine_are_for_nobody(self) -> None:
        assert not seen(in_flight=32).is_reserved

    def test_a_small_engine_reserves_none(self) -> None:
        small = Capacity(max_num_seqs=8, kv_cache_tokens=1000, max_num_batched_tokens=256)
        assert seen(in_flight=7, capacity=small).is_general


class TestPrompts:
    def test_on_their_way_are_no_more_than_a_few_steps_take(self) -> None:
        window = PREFILL_STEPS * CAPACITY.max_num_batched_tokens
        assert seen(in_flight=1, prefilling=window - 1).is_general
        assert not seen(in_flight=1, prefilling=window).is_reserved

    def test_of_those_who_hold_few_go_until_twice_as_many_are_on_their_way(self) -> None:
        window = PREFILL_STEPS * CAPACITY.max_num_batched_tokens
        assert seen(in_flight=1, prefilling=2 * window - 1).is_for_few
        assert not seen(in_flight=1, prefilling=2 * window).is_for_few
        assert not seen(in_flight=32).is_for_few

    def test_that_the_cache_cannot_hold_wait(self) -> None:
        half = seen(in_flight=1, kv_cache_usage=0.5, prefilling=100)
        assert half.fits(4_400)
        assert not half.fits(4_500)


def test_a_model_that_caches_nothing_has_room_for_any_prompt() -> None:
    cacheless = Capacity(max_num_seqs=8, kv_cache_tokens=0, max_num_batched_tokens=256)
    assert seen(in_flight=1, capacity=cacheless).fits(10**6)


def test_an_engine_that_pools_gets_the_next_steps_inputs_before_the_last_ones_are_done() -> None:
    facts = {"max_num_seqs": 8, "kv_cache_tokens": 0, "max_num_batched_tokens": 256}
    assert Capacity.of({**facts, "pooling": None}).max_num_seqs == 8
    assert Capacity.of({**facts, "pooling": {"task": "embed"}}).max_num_seqs == 16


def test_a_prompt_may_have_the_whole_cache_however_many_routers_there_are() -> None:
    assert seen(in_flight=0, others=1, routers=4).fits(9_000)


@given(CAPACITIES, st.integers(0, 10**7), st.integers(1, 64))
def test_an_idle_engine_takes_anything_from_anyone_who_may_have_more_than_the_reserve(
    capacity: Capacity, tokens: int, routers: int
) -> None:
    idle = seen(capacity=capacity, routers=routers)
    assert idle.fits(tokens)
    assert idle.is_general


@given(
    CAPACITIES,
    st.integers(0, 2000),
    st.integers(0, 2000),
    st.integers(1, 8),
    st.floats(0, 1),
    st.integers(0, 10**5),
)
def test_routers_that_all_take_their_share_overfill_an_engine_by_less_than_one_each(
    capacity: Capacity, in_flight: int, others: int, routers: int, usage: float, prefilling: int
) -> None:
    share = seen(
        capacity=capacity,
        in_flight=in_flight,
        others=others,
        routers=routers,
        kv_cache_usage=usage,
        prefilling=prefilling,
    )
    free = max(0, capacity.max_num_seqs - in_flight - others)
    assert share.slots * routers < free + routers
    assert (share.slots > 0) == (free > 0)
