"""Which leading blocks of a prompt an engine has cached."""

import time
from collections import OrderedDict
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from deployments.scheduling.prefixes import PrefixIndex, block_hashes

tokens = st.lists(st.integers(0, 3), max_size=40)
block_sizes = st.integers(1, 6)


def chain(*tokens: int) -> list[int]:
    """Hashes of blocks of one token each."""
    return block_hashes(tokens, 1)


class TestBlockHashes:
    def test_there_is_one_for_each_full_block(self) -> None:
        assert len(block_hashes(range(15), 16)) == 0
        assert len(block_hashes(range(16), 16)) == 1
        assert len(block_hashes(range(47), 16)) == 2

    def test_the_same_block_hashes_differently_behind_another(self) -> None:
        assert block_hashes([1, 2, 7, 8], 2)[1] != block_hashes([3, 4, 7, 8], 2)[1]

    def test_prompts_that_begin_alike_share_their_first_hashes(self) -> None:
        one, other = block_hashes([1, 2, 3, 4, 5, 6], 2), block_hashes([1, 2, 3, 4, 9, 6], 2)
        assert one[:2] == other[:2]
        assert one[2] != other[2]

    def test_salts_share_nothing(self) -> None:
        hashes = {block_hashes([1, 2], 2, salt)[0] for salt in (None, "a", "b")}
        assert len(hashes) == 3

    def test_an_empty_salt_is_none(self) -> None:
        assert block_hashes([1, 2], 2, "") == block_hashes([1, 2], 2)

    def test_a_long_prompt_takes_less_than_an_engine_step(self) -> None:
        prompt = list(range(8192))
        took = []
        for _ in range(5):
            began = time.perf_counter()
            block_hashes(prompt, 16)
            took.append(time.perf_counter() - began)
        assert min(took) < 0.005

    @settings(max_examples=500)
    @given(tokens, tokens, block_sizes)
    def test_as_many_are_equal_as_leading_blocks_are(
        self, one: list[int], other: list[int], size: int
    ) -> None:
        same = 0
        while same < min(len(one), len(other)) // size and (
            one[: (same + 1) * size] == other[: (same + 1) * size]
        ):
            same += 1
        pairs = list(zip(block_hashes(one, size), block_hashes(other, size), strict=False))
        assert [a == b for a, b in pairs] == [i < same for i in range(len(pairs))]


class TestIndex:
    def test_a_prompt_that_was_sent_there_matches(self) -> None:
        index = PrefixIndex()
        index.add("a", chain(1, 2, 3), capacity=10)
        assert index.match("a", chain(1, 2, 3)) == 3

    def test_so_does_what_another_prompt_has_in_common_with_it(self) -> None:
        index = PrefixIndex()
        index.add("a", chain(1, 2, 3), capacity=10)
        assert index.match("a", chain(1, 2, 9, 3)) == 2

    def test_what_only_follows_alike_does_not(self) -> None:
        index = PrefixIndex()
        index.add("a", chain(1, 2, 3), capacity=10)
        assert index.match("a", chain(9, 2, 3)) == 0

    def test_replicas_have_nothing_in_common(self) -> None:
        index = PrefixIndex()
        index.add("a", chain(1, 2, 3), capacity=10)
        assert index.match("b", chain(1, 2, 3)) == 0

    def test_a_replica_that_starts_anew_has_nothing(self) -> None:
        index = PrefixIndex()
        index.add("a", chain(1, 2, 3), capacity=10)
        index.forget("a")
        assert index.match("a", chain(1, 2, 3)) == 0

    def test_a_replica_that_was_never_heard_of_may_be_forgotten(self) -> None:
        PrefixIndex().forget("a")

    def test_the_least_recently_used_prompt_goes_first(self) -> None:
        index = PrefixIndex()
        index.add("a", chain(1, 1), capacity=4)
        index.add("a", chain(2, 2), capacity=4)
        index.add("a", chain(1, 1), capacity=4)
        index.add("a", chain(3, 3), capacity=4)
        assert index.match("a", chain(2, 2)) == 0
        assert index.match("a", chain(1, 1)) == 2

    def test_of_one_prompt_the_last_blocks_go_first(self) -> None:
        index = PrefixIndex()
        index.add("a", chain(1, 2, 3), capacity=4)
        index.add("a", chain(9, 9), capacity=4)
        assert index.match("a", chain(1, 2, 3)) == 2

    def test_of_a_prompt_beyond_the_capacity_the_first_blocks_stay(self) -> None:
        index = PrefixIndex()
        index.add("a", chain(1, 2, 3), capacity=2)
        assert index.match("a", chain(1, 2, 3)) == 2

    def test_new_blocks_push_out_as_many_as_there_is_no_room_for(self) -> None:
        index = PrefixIndex()
        assert index.displaced("a", 5) == 0
        index.add("a", chain(1, 2, 3), capacity=4)
        assert index.displaced("a", 1) == 0
        assert index.displaced("a", 3) == 2
        assert index.displaced("a", 100) == 3


class TestWhatTheEngineSays:
    """`correct`: a prompt has been computed, and so much of it was a hit."""

    def setup_method(self) -> None:
        self.index = PrefixIndex()

    def serve(self, hashes: Sequence[int], cached: int) -> None:
        self.index.add("a", hashes, capacity=100)
        self.index.correct("a", hashes, cached)

    def held(self, hashes: Sequence[int]) -> int:
        return self.index.match("a", hashes)

    def test_a_prompt_that_was_no_hit_is_cached_from_then_on(self) -> None:
        self.serve(chain(1, 2, 3), cached=0)
        assert self.held(chain(1, 2, 3)) == 3

    def test_a_hit_as_expected_changes_nothing(self) -> None:
        self.serve(chain(1, 1, 1), cached=0)
        self.serve(chain(2, 2, 2), cached=0)
        self.serve(chain(2, 2, 2, 5), cached=3)
        assert self.held(chain(1, 1, 1)) == 3

    def test_more_than_expected_changes_nothing(self) -> None:
        """Another router had sent it there."""
        self.serve(chain(1, 1, 1), cached=0)
        self.serve(chain(2, 2, 2, 5), cached=3)
        assert self.held(chain(1, 1, 1)) == 3

    def test_what_was_evicted_is_computed_and_cached_again(self) -> None:
        self.serve(chain(2, 2, 2), cached=0)
        self.serve(chain(2, 2, 2, 5), cached=0)
        assert self.held(chain(2, 2, 2, 5)) == 4

    def test_with_it_went_all_that_had_been_used_less_recently(self) -> None:
        self.serve(chain(1, 1, 1), cached=0)
        self.serve(chain(2, 2, 2), cached=0)
        self.serve(chain(3, 3, 3), cached=0)
        self.serve(chain(2, 2, 2, 5), cached=0)
        assert self.held(chain(1, 1, 1)) == 0
        assert self.held(chain(3, 3, 3)) == 3

    def test_with_it_went_what_followed_it_in_the_same_prompt(self) -> None:
        self.serve(chain(2, 2, 2, 7, 8), cached=0)
        self.serve(chain(2, 2, 2, 5), cached=1)
        assert self.held(chain(2, 2, 2, 7, 8)) == 3

    def test_what_the_engine_did_not_evict_stays_though_it_was_used_before(self) -> None:
        self.serve(chain(2, 2, 2), cached=0)
        self.serve(chain(3, 3, 3), cached=0)
        self.serve(chain(2, 2, 2, 5), cached=3)
        self.serve(chain(3, 3, 3, 5), cached=0)
        assert self.held(chain(2, 2, 2, 5)) == 4

    def test_the_last_block_of_a_prompt_may_be_no_hit_and_be_there(self) -> None:
        """An engine computes at least one token of any prompt."""
        self.serve(chain(1, 1, 1), cached=0)
        self.serve(chain(2, 2, 2), cached=0)
        self.serve(chain(2, 2, 2), cached=2)
        assert self.held(chain(1, 1, 1)) == 3

    def test_one_more_may_be_where_it_speculates(self) -> None:
        self.serve(chain(1, 1, 1), cached=0)
        self.serve(chain(2, 2, 2), cached=0)
        self.serve(chain(2, 2, 2), cached=1)
        assert self.held(chain(1, 1, 1)) == 3

    def test_an_answer_that_has_ended_is_cached_behind_its_prompt(self) -> None:
        """Told as one more prompt, all of which was a hit: it is believed from then on."""
        self.serve(chain(1, 1, 1), cached=0)
        self.serve(chain(2, 2), cached=0)
        self.serve(chain(2, 2, 3, 3), cached=4)
        assert self.held(chain(1, 1, 1)) == 3
        self.serve(chain(2, 2, 3, 3, 5), cached=0)
        assert self.held(chain(1, 1, 1)) == 0

    def test_what_was_only_on_its_way_is_not_taken_for_evicted(self) -> None:
        """The client of the first prompt left before the engine came to it."""
        self.serve(chain(1, 1, 1), cached=0)
        self.index.add("a", chain(2, 2, 2, 7), capacity=100)
        self.serve(chain(2, 2, 2, 5), cached=0)
        assert self.held(chain(1, 1, 1)) == 3

    def test_nor_is_a_prompt_that_came_again_before_it_was_computed(self) -> None:
        self.serve(chain(1, 1, 1), cached=0)
        for _ in range(2):
            self.index.add("a", chain(2, 2, 2), capacity=100)
        for _ in range(2):
            self.index.correct("a", chain(2, 2, 2), cached=0)
        assert self.held(chain(1, 1, 1)) == 3

    def test_a_shorter_prompt_is_no_proof_against_a_longer_one_that_came_after_it(self) -> None:
        self.serve(chain(1, 1, 1), cached=0)
        self.serve(chain(2, 2, 2, 2, 2, 2), cached=0)
        self.index.add("a", chain(2, 2, 2), capacity=100)
        self.index.add("a", chain(2, 2, 2, 2, 2, 2, 5), capacity=100)
        self.index.correct("a", chain(2, 2, 2), cached=2)
        assert self.held(chain(1, 1, 1)) == 3

    def test_nor_does_it_say_that_the_longer_one_was_computed(self) -> None:
        self.serve(chain(1, 1, 1), cached=0)
        self.index.add("a", chain(2, 2, 2), capacity=100)
        self.index.add("a", chain(2, 2, 2, 2, 2, 2), capacity=100)
        self.index.correct("a", chain(2, 2, 2), cached=0)
        self.serve(chain(2, 2, 2, 2, 2, 2, 5), cached=3)
        assert self.held(chain(1, 1, 1)) == 3

    def test_a_late_word_on_a_replica_that_is_gone_is_passed_over(self) -> None:
        self.index.add("a", chain(1), capacity=100)
        self.index.forget("a")
        self.index.correct("a", chain(1), cached=0)
        assert self.held(chain(1)) == 0

    def test_a_prompt_without_a_full_block_says_nothing(self) -> None:
        self.serve(chain(1, 2, 3), cached=0)
        self.serve([], cached=0)
        assert self.held(chain(1, 2, 3)) == 3


class Engine:
    """A prefix cache as vLLM keeps it, in a simple way: whole prompts, one after the other."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.blocks: OrderedDict[int, None] = OrderedDict()

    def serve(self, hashes: list[int]) -> int:
        """Computes the prompt; returns how many leading blocks were a hit."""
        cached = self.hit(hashes)
        for block in reversed(hashes):
            self.blocks[block] = None
            self.blocks.move_to_end(block)
        while len(self.blocks) > self.capacity:
            self.blocks.popitem(last=False)
        return min(cached, max(0, len(hashes) - 1))

    def hit(self, hashes: list[int]) -> int:
        return next((i for i, h in enumerate(hashes) if h not in self.blocks), len(hashes))


short = st.lists(st.integers(0, 2), min_size=1, max_size=6).map(lambda tokens: chain(*tokens))


@settings(max_examples=300, deadline=None)
class AlongsideAnEngine(RuleBasedStateMachine):
    """An index beside the engine it is about, which others use, too."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine(capacity=12)
        self.index = PrefixIndex()
        self.alone = True
        self.computing: list[tuple[list[int], int]] = []
        self.seen: set[tuple[int, ...]] = set()

    @rule(hashes=short)
    def a_prompt_is_sent(self, hashes: list[int]) -> None:
        self.seen.add(tuple(hashes))
        believed = self.index.match("a", hashes)
        self.index.add("a", hashes, self.engine.capacity)
        cached = self.engine.serve(hashes)
        if self.alone:
            assert cached == min(believed, len(hashes) - 1)
        self.computing.append((hashes, cached))

    @precondition(lambda self: self.computing)
    @rule(data=st.data())
    def the_engine_says_what_was_a_hit(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.computing) - 1))
        if index:  # said late, what was no hit then looks like evicted since; it is only forgotten
            self.alone = False
        self.index.correct("a", *self.computing.pop(index))

    @rule(hashes=short)
    def a_prompt_is_served_for_another_router(self, hashes: list[int]) -> None:
        self.alone = False
        self.engine.serve(hashes)

    @rule(hashes=short)
    def a_prompt_is_cut_off_on_its_way(self, hashes: list[int]) -> None:
        self.alone = False
        self.seen.add(tuple(hashes))
        self.index.add("a", hashes, self.engine.capacity)

    @rule()
    def the_engine_starts_anew(self) -> None:
        self.engine.blocks.clear()
        self.computing.clear()
        self.index.forget("a")
        self.alone = True

    @rule()
    def the_engine_loses_its_cache_unseen(self) -> None:
        self.engine.blocks.clear()
        self.alone = False

    @invariant()
    def alone_it_knows_exactly_what_the_engine_has(self) -> None:
        if self.alone:
            for hashes in map(list, self.seen):
                assert self.index.match("a", hashes) == self.engine.hit(hashes)

    @invariant()
    def it_holds_no_more_than_the_engine_can(self) -> None:
        held = {h for hashes in self.seen for h in hashes[: self.index.match("a", list(hashes))]}
        assert len(held) <= self.engine.capacity

    @invariant()
    def what_it_holds_is_what_it_would_find_one_by_one(self) -> None:
        for hashes in map(list, self.seen):
            count = self.index.match("a", hashes)
            assert [self.index.match("a", hashes[: i + 1]) > i for i in range(len(hashes))] == [
                i < count for i in range(len(hashes))
            ]


TestAlongsideAnEngine = AlongsideAnEngine.TestCase
