"""Which engine takes a sequence."""

import random
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.scheduling.placement import POLICIES, Candidate, Placement
from deployments.scheduling.prefixes import block_hashes

BLOCK = 16


@dataclass
class Engine:
    name: str
    load: int = 0


def engines(*loads: int) -> list[Engine]:
    return [Engine(f"e{i}", load) for i, load in enumerate(loads)]


def prompt(seed: int, tokens: int) -> list[int]:
    """Hashes of a prompt that has nothing in common with those of other seeds."""
    return block_hashes([seed] * tokens, BLOCK)


def chosen(policy: Placement, candidates: Sequence[Candidate], hashes: Sequence[int] = ()) -> str:
    choice = policy.choose(candidates, hashes)
    assert choice is not None
    return choice.name


@pytest.fixture
def prefix() -> Placement:
    return POLICIES["prefix"](BLOCK)


@pytest.fixture
def least_loaded() -> Placement:
    return POLICIES["least_loaded"](BLOCK)


@pytest.fixture
def round_robin() -> Placement:
    return POLICIES["round_robin"](BLOCK)


class TestEveryPolicy:
    @pytest.mark.parametrize("name", POLICIES)
    def test_chooses_nobody_when_there_is_nobody(self, name: str) -> None:
        assert POLICIES[name](BLOCK).choose([], prompt(1, 100)) is None

    @pytest.mark.parametrize("name", POLICIES)
    def test_spreads_what_comes_to_idle_engines(self, name: str) -> None:
        policy = POLICIES[name](BLOCK)
        taken = [chosen(policy, engines(0, 0, 0), prompt(seed, 100)) for seed in range(30)]
        assert Counter(taken) == {"e0": 10, "e1": 10, "e2": 10}

    @pytest.mark.parametrize("name", POLICIES)
    @given(loads=st.lists(st.integers(0, 3), min_size=1, max_size=5))
    def test_chooses_one_of_those_it_is_offered(self, name: str, loads: list[int]) -> None:
        candidates = engines(*loads)
        assert POLICIES[name](BLOCK).choose(candidates, prompt(1, 100)) in candidates

    def test_only_one_needs_hashes(self) -> None:
        needing = [name for name, policy in POLICIES.items() if policy(BLOCK).needs_hashes]
        assert needing == ["prefix"]


class TestLeastLoaded:
    def test_the_one_with_the_least_to_compute_takes_it(self, least_loaded: Placement) -> None:
        assert chosen(least_loaded, engines(300, 100, 200)) == "e1"

    def test_it_cares_for_nothing_that_is_cached(self, least_loaded: Placement) -> None:
        least_loaded.placed("e0", prompt(1, 1000), capacity=100)
        assert chosen(least_loaded, engines(1, 0), prompt(1, 1000)) == "e1"
        assert least_loaded.cached_tokens("e0", prompt(1, 1000)) == 0

    @settings(max_examples=300)
    @given(
        count=st.integers(1, 5), sequences=st.lists(st.integers(1, 1000), min_size=1, max_size=50)
    )
    def test_loads_never_differ_by_more_than_one_sequence(
        self, count: int, sequences: list[int]
    ) -> None:
        policy, candidates = POLICIES["least_loaded"](BLOCK), engines(*[0] * count)
        for tokens in sequences:
            choice = policy.choose(candidates, [])
            assert choice is not None
            choice.load += tokens
        loads = [engine.load for engine in candidates]
        assert max(loads) - min(loads) <= max(sequences)


class TestRoundRobin:
    def test_loads_do_not_matter(self, round_robin: Placement) -> None:
        taken = [chosen(round_robin, engines(9, 0, 5)) for _ in range(6)]
        assert taken == ["e0", "e1", "e2", "e0", "e1", "e2"]

    def test_nor_does_the_order_they_come_in(self, round_robin: Placement) -> None:
        one, two, three = engines(0, 0, 0)
        orders = [[three, one, two], [two, three, one], [one, three, two]]
        assert [chosen(round_robin, order) for order in orders] == ["e0", "e1", "e2"]

    def test_one_that_has_gone_is_left_out(self, round_robin: Placement) -> None:
        one, two, three = engines(0, 0, 0)
        chosen(round_robin, [one, two, three])
        assert chosen(round_robin, [one, three]) == "e2"

    def test_one_that_has_come_takes_its_turn(self, round_robin: Placement) -> None:
        one, two, three = engines(0, 0, 0)
        chosen(round_robin, [one, three])
        assert chosen(round_robin, [one, two, three]) == "e1"

    def test_the_round_goes_on_when_the_last_one_chosen_has_gone(
        self, round_robin: Placement
    ) -> None:
        one, two, three = engines(0, 0, 0)
        assert [chosen(round_robin, [one, two, three]) for _ in range(2)] == ["e0", "e1"]
        assert [chosen(round_robin, [one, three]) for _ in range(2)] == ["e2", "e0"]


class TestPrefix:
    def test_idle_engines_are_chosen_by_what_they_have_cached(self, prefix: Placement) -> None:
        prefix.placed("e1", prompt(1, 500), capacity=100)
        assert {chosen(prefix, engines(0, 0, 0), prompt(1, 600)) for _ in range(3)} == {"e1"}

    def test_a_conversation_stays_while_that_saves_more_than_it_waits(
        self, prefix: Placement
    ) -> None:
        prefix.placed("e0", prompt(1, 512), capacity=100)
        assert chosen(prefix, engines(511, 0), prompt(1, 600)) == "e0"
        assert chosen(prefix, engines(513, 0), prompt(1, 600)) == "e1"

    def test_where_it_is_even_the_longer_match_decides(self, prefix: Placement) -> None:
        prefix.placed("e1", prompt(1, 512), capacity=100)
        taken = {chosen(prefix, engines(0, 512), prompt(1, 600)) for _ in range(3)}
        assert taken == {"e1"}

    def test_a_new_prompt_goes_to_the_least_loaded(self, prefix: Placement) -> None:
        prefix.placed("e0", prompt(1, 500), capacity=100)
        assert chosen(prefix, engines(3, 2, 4), prompt(2, 600)) == "e1"

    def test_a_match_within_the_chat_template_counts_for_nothing(self, prefix: Placement) -> None:
        greeting = [7] * 40
        prefix.placed("e0", block_hashes(greeting + [1] * 100, BLOCK), capacity=100)
        others = [block_hashes(greeting + [seed] * 100, BLOCK) for seed in range(2, 12)]
        taken = Counter(chosen(prefix, engines(0, 0), hashes) for hashes in others)
        assert taken == {"e0": 5, "e1": 5}

    def test_so_does_one_of_less_than_an_eighth_of_a_long_prompt(self, prefix: Placement) -> None:
        begin = [7] * 160
        prefix.placed("e0", block_hashes(begin, BLOCK), capacity=1000)
        longest = block_hashes(begin + [1] * 160 * 7, BLOCK)
        assert {chosen(prefix, engines(0, 0), longest) for _ in range(4)} == {"e0"}
        longer = block_hashes(begin + [1] * (160 * 7 + BLOCK), BLOCK)
        assert {chosen(prefix, engines(0, 0), longer) for _ in range(4)} == {"e0", "e1"}

    def test_a_full_cache_counts_for_less_than_one_with_room(self, prefix: Placement) -> None:
        begin, hashes = prompt(1, 320), block_hashes([1] * 320 + [2] * 320, BLOCK)
        prefix.placed("e0", begin, capacity=20)
        prefix.placed("e1", begin, capacity=100)
        assert {chosen(prefix, engines(0, 100), hashes) for _ in range(3)} == {"e1"}
        assert {chosen(prefix, engines(0, 200), hashes) for _ in range(3)} == {"e0"}

    def test_what_the_engine_evicted_draws_nothing_any_more(self, prefix: Placement) -> None:
        for seed in (1, 2):
            prefix.placed("e0", prompt(seed, 512), capacity=100)
            prefix.observed("e0", prompt(seed, 512), cached_blocks=0)
        prefix.placed("e0", prompt(2, 600), capacity=100)
        prefix.observed("e0", prompt(2, 600), cached_blocks=0)
        assert prefix.cached_tokens("e0", prompt(1, 512)) == 0

    def test_an_engine_that_starts_anew_draws_nothing(self, prefix: Placement) -> None:
        prefix.placed("e0", prompt(1, 512), capacity=100)
        prefix.forget("e0")
        assert chosen(prefix, engines(1, 0), prompt(1, 600)) == "e1"

    def test_cached_tokens_are_those_of_full_blocks(self, prefix: Placement) -> None:
        prefix.placed("e0", prompt(1, 100), capacity=100)
        assert prefix.cached_tokens("e0", prompt(1, 200)) == 96
        assert prefix.cached_tokens("e1", prompt(1, 200)) == 0


@dataclass(frozen=True)
class Ask:
    """A prompt: the first blocks of one of a few, and some of its own."""

    family: int
    shared: int
    own: int
    generated: int

    def hashes(self, index: int) -> list[int]:
        return block_hashes([self.family] * self.shared + [100 + index] * self.own, 1)


asks = st.builds(
    Ask,
    family=st.integers(0, 2),
    shared=st.integers(0, 300),
    own=st.integers(0, 60),
    generated=st.integers(1, 100),
)


class TestBounds:
    @settings(max_examples=1000, deadline=None)
    @given(
        loads=st.lists(st.integers(0, 600), min_size=1, max_size=4),
        before=st.lists(st.tuples(st.integers(0, 3), asks), max_size=6),
        ask=asks,
        capacity=st.integers(0, 1000),
    )
    def test_the_chosen_one_has_at_most_so_much_more_to_do_as_it_has_cached(
        self, loads: list[int], before: list[tuple[int, Ask]], ask: Ask, capacity: int
    ) -> None:
        policy, candidates = POLICIES["prefix"](1), engines(*loads)
        for index, (engine, earlier) in enumerate(before):
            policy.placed(f"e{engine}", earlier.hashes(index), capacity)
        hashes = ask.hashes(-1)
        choice = policy.choose(candidates, hashes)
        assert choice is not None
        assert choice.load - min(loads) <= policy.cached_tokens(choice.name, hashes)

    @settings(max_examples=500, deadline=None)
    @given(
        count=st.integers(2, 4),
        coming=st.lists(asks, min_size=1, max_size=40),
        capacity=st.integers(1, 1000),
    )
    def test_however_many_begin_alike_loads_never_differ_by_more_than_one_sequence(
        self, count: int, coming: list[Ask], capacity: int
    ) -> None:
        policy, candidates = POLICIES["prefix"](1), engines(*[0] * count)
        for index, ask in enumerate(coming):
            hashes = ask.hashes(index)
            choice = policy.choose(candidates, hashes)
            assert choice is not None
            cached = policy.cached_tokens(choice.name, hashes)
            choice.load += len(hashes) - cached + ask.generated
            policy.placed(choice.name, hashes, capacity)
        loads = [engine.load for engine in candidates]
        assert max(loads) - min(loads) <= max(a.shared + a.own + a.generated for a in coming)


STEP_TOKENS = 512
EXPECTED = 100
"""Tokens that a sequence is expected to generate."""


@dataclass
class Work:
    conversation: int
    prompt: list[int]
    hashes: list[int]
    generates: int
    to_prefill: int
    generated: int = 0


@dataclass
class BatchingEngine:
    """An engine in steps: each running sequence's next token, and prompts in what room is left."""

    name: str
    capacity: int
    cache: OrderedDict[int, None] = field(default_factory=OrderedDict)
    running: list[Work] = field(default_factory=list)
    computed: int = 0

    @property
    def load(self) -> int:
        return sum(w.to_prefill + max(1, EXPECTED - w.generated) for w in self.running)

    def take(self, work: Work) -> int:
        """Returns how many leading blocks were cached."""
        hashes = work.hashes
        cached = next((i for i, h in enumerate(hashes) if h not in self.cache), len(hashes))
        work.to_prefill = max(1, len(work.prompt) - cached * BLOCK)
        self.running.append(work)
        for block in reversed(hashes):
            self.cache[block] = None
            self.cache.move_to_end(block)
        while len(self.cache) > self.capacity:
            self.cache.popitem(last=False)
        return cached

    def step(self) -> list[Work]:
        """Returns what has ended."""
        room = STEP_TOKENS
        for work in self.running:
            if not work.to_prefill:
                work.generated += 1
                room -= 1
        for work in self.running:
            part = min(room, work.to_prefill)
            work.to_prefill -= part
            room -= part
        self.computed += STEP_TOKENS - room
        ended = [work for work in self.running if work.generated >= work.generates]
        self.running = [work for work in self.running if work.generated < work.generates]
        return ended


class Simulation:
    """Conversations that go on as soon as they are answered, each behind one of a few system
    prompts of 1,000 tokens."""

    def __init__(self, policy: str, replicas: int, systems: int = 4, capacity: int = 4000) -> None:
        self.random = random.Random(1)
        self.policy = POLICIES[policy](BLOCK)
        self.engines = [BatchingEngine(f"e{i}", capacity) for i in range(replicas)]
        self.systems = systems
        self.prompt_tokens = self.cached_tokens = 0
        self.moved = self.turns = 0
        self.at: dict[int, str] = {}
        self.had_system: list[set[str]] = [set() for _ in range(systems)]
        self.unevenness: list[float] = []

    def run(self, conversations: int = 32, turns: int = 10) -> "Simulation":
        for number in range(conversations):
            system = [number % self.systems] * 1000
            self._say(number, [*system, *self._words(number)])
        while self.turns < conversations * turns:
            loads = [engine.load for engine in self.engines]
            self.unevenness.append(max(loads) * len(loads) / sum(loads))
            for engine in self.engines:
                for work in engine.step():
                    answer = [-1 - work.conversation] * work.generates
                    words = self._words(work.conversation)
                    self._say(work.conversation, [*work.prompt, *answer, *words])
        return self

    def _words(self, conversation: int) -> list[int]:
        return [1000 + conversation] * self.random.randint(20, 120)

    def _say(self, conversation: int, prompt: list[int]) -> None:
        hashes = block_hashes(prompt, BLOCK)
        generates = self.random.randint(20, 2 * EXPECTED - 20)
        engine = self.policy.choose(self.engines, hashes)
        assert engine is not None
        self.policy.placed(engine.name, hashes, engine.capacity)
        cached = engine.take(Work(conversation, prompt, hashes, generates, 0))
        self.policy.observed(engine.name, hashes, cached)
        self.prompt_tokens += len(prompt)
        self.cached_tokens += cached * BLOCK
        self.turns += 1
        self.moved += self.at.get(conversation, engine.name) != engine.name
        self.at[conversation] = engine.name
        self.had_system[conversation % self.systems].add(engine.name)

    @property
    def computed_share(self) -> float:
        """Share of prompt tokens that had to be computed."""
        return 1 - self.cached_tokens / self.prompt_tokens

    @property
    def mean_unevenness(self) -> float:
        """The highest load over the mean of all, on average over the run."""
        return sum(self.unevenness) / len(self.unevenness)


@pytest.mark.parametrize("replicas", [2, 4])
class TestConversations:
    """32 conversations of some ten turns, with four system prompts in common."""

    def test_far_less_of_their_prompts_is_computed_than_by_round_robin(self, replicas: int) -> None:
        ours, theirs = (Simulation(p, replicas).run() for p in ("prefix", "round_robin"))
        assert ours.computed_share < 0.6 * theirs.computed_share

    def test_loads_are_nearly_as_even_as_by_least_loaded(self, replicas: int) -> None:
        ours, theirs = (Simulation(p, replicas).run() for p in ("prefix", "least_loaded"))
        assert ours.mean_unevenness < 1.1 * theirs.mean_unevenness

    def test_no_engine_computes_much_more_than_its_share(self, replicas: int) -> None:
        ours = Simulation("prefix", replicas).run()
        computed = [engine.computed for engine in ours.engines]
        assert max(computed) < 1.1 * sum(computed) / replicas

    def test_conversations_stay_where_they_are(self, replicas: int) -> None:
        ours = Simulation("prefix", replicas).run()
        assert ours.moved < ours.turns / 10

    def test_one_system_prompt_for_all_comes_to_every_engine(self, replicas: int) -> None:
        ours = Simulation("prefix", replicas, systems=1).run()
        assert len(ours.had_system[0]) == replicas

    def test_nor_are_loads_less_even_then(self, replicas: int) -> None:
        ours, theirs = (
            Simulation(p, replicas, systems=1).run() for p in ("prefix", "least_loaded")
        )
        assert ours.mean_unevenness < 1.1 * theirs.mean_unevenness

    def test_caches_that_are_too_small_do_no_harm(self, replicas: int) -> None:
        ours, theirs = (
            Simulation(p, replicas, capacity=1000).run() for p in ("prefix", "round_robin")
        )
        assert ours.computed_share < theirs.computed_share
