"""Which tokens the simulated model says, and when its device has run a step."""

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.simulated.contexts import Contexts
from bench.simulated.device import Device
from bench.simulated.vocabulary import Vocabulary
from tests.unit.fakes import FakeClock

END = 3
WORDS = [5, 6, 7, 8]


class Tokenizer:
    """As much of a Hugging Face tokenizer as is asked for."""

    tokens = ("<s>", "</s>", "!", "\u0120the", "ing", *("\u0120" + word for word in "abcd"))
    all_special_ids = (0, 1)

    def __len__(self) -> int:
        return len(self.tokens)

    def convert_ids_to_tokens(self, ids: range) -> list[str]:
        return [self.tokens[i] for i in ids]


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary(Tokenizer(), 12, {END})


def bitmask(*allowed: int) -> NDArray[np.int32]:
    return np.array([sum(1 << i for i in allowed), -1], np.int32)


def draw(contexts: Contexts, *names: str) -> list[int]:
    draws: list[int] = contexts.draws(contexts.slots(names)).tolist()
    return draws


class TestVocabulary:
    def test_is_of_words_and_neither_special_nor_the_end(self, vocabulary: Vocabulary) -> None:
        assert vocabulary.words.tolist() == WORDS
        picked = vocabulary.pick(np.arange(100, dtype=np.uint64))
        assert set(picked.tolist()) == set(WORDS)

    def test_ends_as_soon_as_it_may(self, vocabulary: Vocabulary) -> None:
        assert {vocabulary.pick_allowed(i, bitmask(2, END, 6)) for i in range(20)} == {END}

    def test_takes_what_is_allowed_word_or_not(self, vocabulary: Vocabulary) -> None:
        assert {vocabulary.pick_allowed(i, bitmask(2, 4, 8)) for i in range(20)} == {2, 4, 8}

    def test_has_other_words_beside_the_one_picked(self, vocabulary: Vocabulary) -> None:
        draws = np.arange(4, dtype=np.uint64)
        rows = vocabulary.alternatives(draws, 3)
        assert rows[:, 0].tolist() == vocabulary.pick(draws).tolist()
        assert all(len(set(row)) == 3 for row in rows.tolist())
        assert vocabulary.alternatives(draws, 100).shape == (4, len(WORDS))

    def test_without_words_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no token that is a word"):
            Vocabulary(Tokenizer(), 5, {END})


class TestContexts:
    def test_draw_alike_for_the_same_tokens_however_they_came(self) -> None:
        contexts = Contexts()
        contexts.add("whole", [7, 8, 9], None)
        contexts.add("grown", [7], None)
        for position, token in ((1, 8), (2, 9)):
            slots = contexts.slots(["grown"])
            contexts.append(slots, np.array([token]), np.array([position]))
        contexts.add("again", [1, 2, 3], None)
        contexts.reset("again", [7, 8, 9])
        assert len(set(draw(contexts, "whole", "grown", "again"))) == 1

    def test_draw_differently_for_other_tokens_another_order_or_another_seed(self) -> None:
        contexts = Contexts()
        contexts.add("a", [7, 8], None)
        contexts.add("b", [7, 9], None)
        contexts.add("c", [8, 7], None)
        for seed in (0, 1):
            contexts.add(f"seed {seed}", [7, 8], seed)
        assert len(set(draw(contexts, "a", "b", "c", "seed 0", "seed 1"))) == 5

    def test_keep_apart_more_sequences_than_there_was_room_for(self) -> None:
        contexts = Contexts()
        names = [str(i) for i in range(1000)]
        for i, name in enumerate(names):
            contexts.add(name, [i], None)
        before = draw(contexts, *names)
        assert len(set(before)) == len(names)
        contexts.drop([*names[::2], "unknown"])
        for name in names[::2]:
            assert name not in contexts
        contexts.add("new", [5000], None)
        assert draw(contexts, *names[1::2]) == before[1::2]


class TestDevice:
    def test_runs_steps_one_after_another_without_a_gap(self, clock: FakeClock) -> None:
        device = Device(clock, clock.advance)
        start = clock()
        ends = [device.launch(2.0), device.launch(3.0)]
        assert [end - start for end in ends] == [2.0, 5.0]
        clock.advance(1.0)
        device.wait_until(ends[0])
        assert clock() == ends[0]
        device.synchronize()
        assert clock() == ends[1]

    def test_that_was_idle_begins_at_once(self, clock: FakeClock) -> None:
        device = Device(clock, clock.advance)
        device.launch(1.0)
        clock.advance(10.0)
        assert device.launch(1.0) == clock() + 1.0

    def test_does_not_sleep_for_steps_that_take_no_time(self, clock: FakeClock) -> None:
        def sleep(_: float) -> None:
            raise AssertionError

        device = Device(clock, sleep)
        device.wait_until(device.launch(0.0))
