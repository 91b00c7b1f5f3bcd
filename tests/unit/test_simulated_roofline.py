"""How long the simulated GPU's steps take and how much it holds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.simulated.presets import GPUS, MODELS
from bench.simulated.roofline import (
    ALL_REDUCE_S,
    MATRIX_SHARE,
    MEMORY_SHARE,
    OVERHEAD_S,
    Roofline,
)

H200_8B = Roofline(GPUS["h200"], MODELS["llama-3.1-8b"])
ROOFLINES = [
    Roofline(gpu, model, size)
    for gpu in GPUS.values()
    for model in MODELS.values()
    for size in (1, 2)
]
SEQUENCE = st.tuples(st.integers(0, 10**5), st.integers(1, 10**4))  # computed, scheduled
BATCH = st.lists(SEQUENCE, min_size=1, max_size=8)


def step_s(roofline: Roofline, *sequences: tuple[int, int]) -> float:
    computed, scheduled = np.array(sequences, np.int64).T
    return roofline.step_s(computed, scheduled)


class TestStep:
    @given(st.sampled_from(ROOFLINES), BATCH, SEQUENCE)
    def test_takes_no_less_time_with_one_more_sequence(
        self, roofline: Roofline, batch: list[tuple[int, int]], more: tuple[int, int]
    ) -> None:
        assert step_s(roofline, *batch, more) >= step_s(roofline, *batch)

    @given(st.sampled_from(ROOFLINES), BATCH, SEQUENCE)
    def test_takes_no_less_time_with_more_context_or_more_tokens(
        self, roofline: Roofline, batch: list[tuple[int, int]], more: tuple[int, int]
    ) -> None:
        (computed, scheduled), *others = batch
        base = step_s(roofline, *batch)
        assert step_s(roofline, (computed + more[0], scheduled), *others) >= base
        assert step_s(roofline, (computed, scheduled + more[1]), *others) >= base

    def test_of_one_sequence_is_the_time_to_read_the_weights(self) -> None:
        weights = 2 * (MODELS["llama-3.1-8b"].parameters - 128_256 * 4096)
        read_s = weights / (MEMORY_SHARE * 4.8e12)
        assert step_s(H200_8B, (100, 1)) == pytest.approx(read_s + OVERHEAD_S, rel=0.01)
        assert 3e-3 < step_s(H200_8B, (100, 1)) < 6e-3

    def test_of_many_long_sequences_is_the_time_to_read_their_cache(self) -> None:
        short, long = ([(context, 1)] * 200 for context in (1000, 3000))
        grown = 200 * 2000 * 131_072 / (MEMORY_SHARE * 4.8e12)  # 128 KiB for each token
        assert step_s(H200_8B, *long) - step_s(H200_8B, *short) == pytest.approx(grown)

    def test_of_a_long_prompt_is_the_time_of_its_arithmetic(self) -> None:
        flop = 2 * MODELS["llama-3.1-8b"].layer_parameters * 8192
        at_least = flop / (MATRIX_SHARE * 989.5e12)
        assert at_least < step_s(H200_8B, (0, 8192)) < 1.2 * at_least

    def test_counts_only_what_is_scheduled_of_a_prompt(self) -> None:
        whole = step_s(H200_8B, (0, 8192))
        halves = step_s(H200_8B, (0, 4096)), step_s(H200_8B, (4096, 4096))
        assert halves[0] < halves[1], "the second half attends to the first"
        assert sum(halves) == pytest.approx(whole + OVERHEAD_S, rel=1e-2)

    def test_is_shared_by_gpus_that_have_to_agree_on_each_layer(self) -> None:
        model = MODELS["llama-3.1-70b"]
        alone, shared = (Roofline(GPUS["h100"], model, size) for size in (2, 4))
        agree_s = 2 * 80 * ALL_REDUCE_S
        times = [step_s(each, (100, 1)) - OVERHEAD_S - agree_s for each in (alone, shared)]
        assert times[0] / times[1] == pytest.approx(2, rel=0.02)


class TestMemory:
    @pytest.mark.parametrize(
        ("name", "billions"),
        [
            ("llama-3.1-8b", 8.03),
            ("llama-3.1-70b", 70.6),
            ("llama-3.2-1b", 1.24),
            ("qwen2.5-0.5b", 0.494),
            ("qwen2.5-7b", 7.62),
        ],
    )
    def test_holds_as_many_parameters_as_the_models_card_says(
        self, name: str, billions: float
    ) -> None:
        assert MODELS[name].parameters / 1e9 == pytest.approx(billions, rel=4e-3)

    def test_of_one_gpu_is_too_little_for_70b_and_that_of_four_is_not(self) -> None:
        one, four = (Roofline(GPUS["h100"], MODELS["llama-3.1-70b"], size) for size in (1, 4))
        assert one.kv_cache_bytes(0.92) < 0 < four.kv_cache_bytes(0.92)

    def test_of_kv_heads_is_shared_until_each_gpu_has_one(self) -> None:
        model = MODELS["llama-3.1-70b"]
        heads = [Roofline(GPUS["h100"], model, size).kv_heads for size in (1, 4, 8, 16)]
        assert heads == [8, 2, 1, 1]
