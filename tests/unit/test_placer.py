"""Which engine gets a sequence, by room and policy, and what is remembered of who has what."""

from typing import Any, cast

import pytest

from deployments.messages import Adapter, Delta, Load, Sampling
from deployments.placer import Placer
from deployments.scheduling.terms import Level, Terms
from deployments.ticket import Ticket
from tests.unit.fakes import FakeClock
from tests.unit.peers import Recorder, ticket
from tests.unit.simulation import FACTS, SimulatedLink

BLOCK = FACTS["block_size"]
PROMPT = list(range(10 * BLOCK))
A, B = Terms("a"), Terms("b")
FULL = Load(running=1000)


@pytest.fixture(autouse=True)
async def on_a_loop() -> None:
    """Streams are made on a running loop, though nothing here waits for it."""


class Engines:
    """A few engines, and a placer before them."""

    def __init__(self, clock: FakeClock, *, policy: str = "prefix", **facts: Any) -> None:
        self.clock = clock
        facts = {"max_num_batched_tokens": 10_000, **facts}
        self.links = [SimulatedLink(cast(Any, Recorder()), clock, **facts) for _ in range(2)]
        self.placer = Placer(policy, lambda: self.links, clock)

    def fill(self, link: SimulatedLink, free: int = 0) -> None:
        """Other routers leave so many of its slots."""
        link.others = link.capacity.max_num_seqs - free - link.in_flight

    def place(self, **of_the_ticket: Any) -> SimulatedLink | None:
        """A new sequence goes where it should."""
        return self.send(ticket(**of_the_ticket))

    def send(self, new: Ticket) -> SimulatedLink | None:
        """The same, for one that there is."""
        if not self.placer.look() or not self.placer.allows(new):
            return None
        link = self.placer.choose(new)
        if link is not None:
            self.placer.place(new, link)
        return cast("SimulatedLink | None", link)

    def cached(
        self,
        link: SimulatedLink,
        prompt: list[int],
        terms: Terms = A,
        adapter: int | None = None,
    ) -> int:
        """How many tokens of a prompt the engine is taken to have, by what it would be sent."""
        weights = None if adapter is None else Adapter(adapter, "adapter", "/adapter")
        again = ticket(prompt=prompt, terms=terms, adapter=weights)
        self.placer.look()
        self.placer.choose(again)
        self.placer.place(again, link)
        return len(prompt) - again.uncached


@pytest.fixture
def engines(clock: FakeClock) -> Engines:
    return Engines(clock)


class TestLooking:
    async def test_finds_nothing_without_engines(self, clock: FakeClock) -> None:
        assert not Placer("prefix", list, clock).look()

    async def test_finds_nothing_while_all_are_full(self, engines: Engines) -> None:
        for link in engines.links:
            engines.fill(link)
        assert not engines.placer.look()

    @pytest.mark.parametrize("report", [Load(draining=True), Load(progressing=False)])
    async def test_passes_over_those_that_take_no_work(
        self, engines: Engines, report: Load
    ) -> None:
        out, other = engines.links
        out.report = report
        assert [engines.place() for _ in range(3)] == [other] * 3

    async def test_passes_over_those_whose_breaker_is_open(self, engines: Engines) -> None:
        out, other = engines.links
        for _ in range(out.breaker.failures):
            out.breaker.failed(engines.clock())
        assert [engines.place() for _ in range(3)] == [other] * 3

    async def test_lets_one_probe_pass_where_a_breaker_is_half_open(self, engines: Engines) -> None:
        tried = engines.links[0]
        for _ in range(tried.breaker.failures):
            tried.breaker.failed(engines.clock())
        engines.clock.advance(tried.breaker.open_s)
        for link in engines.links:
            link._heard_at = engines.clock()
        placed = [engines.place(), engines.place(), engines.place()]
        assert placed.count(tried) == 1


class TestReserve:
    """The last slots of an engine are for those who hold few."""

    @pytest.fixture
    def engines(self, clock: FakeClock) -> Engines:
        return Engines(clock, max_num_seqs=32)

    async def test_is_closed_to_one_who_holds_as_much_as_it_is(self, engines: Engines) -> None:
        first, second = engines.links
        placed = [engines.place(terms=A) for _ in range(100)]
        assert placed.count(None) == 40
        assert (first.in_flight, second.in_flight) == (30, 30)

    async def test_is_open_to_one_who_holds_little(self, engines: Engines) -> None:
        for _ in range(100):
            engines.place(terms=A)
        placed = [engines.place(terms=B) for _ in range(10)]
        assert placed.count(None) == 6  # two slots at each engine

    async def test_counts_what_a_tenant_holds_by_class(self, engines: Engines) -> None:
        for _ in range(100):
            engines.place(terms=A)
        assert engines.place(terms=Terms("a", level=Level.INTERACTIVE)) is not None

    async def test_is_open_again_to_one_whose_sequences_have_left(self, engines: Engines) -> None:
        for _ in range(100):
            engines.place(terms=A)
        for link in engines.links:
            for each in link.tickets:
                link.withdraw(each)
                engines.placer.left(each)
        assert not engines.placer._holdings
        assert engines.place(terms=A) is not None

    async def test_is_open_to_one_who_holds_less_than_the_mean(self, clock: FakeClock) -> None:
        engines = Engines(clock, max_num_seqs=128)
        for _ in range(300):
            engines.place(terms=A)
        placed = [engines.place(terms=B) for _ in range(20)]
        assert placed.count(None) == 4  # eight slots at each engine

    async def test_of_prompts_is_for_those_who_hold_few(self, clock: FakeClock) -> None:
        engines = Engines(clock, max_num_seqs=128, max_num_batched_tokens=len(PROMPT))
        prompts = [[i] * len(PROMPT) for i in range(20)]
        placed = [engines.place(terms=A, prompt=prompts.pop()) for _ in range(10)]
        assert placed.count(None) == 6  # two steps of each engine are full of them
        placed = [engines.place(terms=B, prompt=prompts.pop()) for _ in range(10)]
        assert placed.count(None) == 6  # B has as many as A then


class TestGoingAhead:
    """In the engine, past prompts that wait there."""

    @pytest.mark.parametrize(("terms", "ahead"), [(A, False), (B, True)])
    async def test_is_for_those_who_hold_few(
        self, engines: Engines, terms: Terms, ahead: bool
    ) -> None:
        engines.place(terms=A)
        late = ticket(terms=terms)
        engines.send(late)
        assert late.sequence(0).ahead == ahead

    async def test_is_not_for_who_is_alone(self, engines: Engines) -> None:
        first = ticket(terms=A)
        engines.send(first)
        assert not first.ahead

    async def test_is_not_for_the_less_urgent(self, engines: Engines) -> None:
        for _ in range(3):
            engines.place(terms=A)
        late = ticket(terms=Terms("b", level=Level.BATCH))
        engines.send(late)
        assert not late.ahead

    async def test_is_for_answers_that_have_begun(self, engines: Engines) -> None:
        moved = ticket(terms=A)
        moved.emitted = [1]
        engines.send(moved)
        assert moved.ahead

    async def test_is_for_nobody_where_the_queue_is_in_the_order_of_arrival(
        self, engines: Engines
    ) -> None:
        engines.placer = Placer("prefix", lambda: engines.links, engines.clock, reserves=False)
        engines.place(terms=A)
        late = ticket(terms=B)
        engines.send(late)
        assert not late.ahead


class TestYielding:
    """To those who asked lately and may go ahead."""

    @pytest.mark.parametrize(("reserves", "yields"), [(True, True), (False, False)])
    async def test_is_for_who_has_more_than_another_that_asked_lately(
        self, engines: Engines, reserves: bool, yields: bool
    ) -> None:
        engines.placer = Placer("prefix", lambda: engines.links, engines.clock, reserves=reserves)
        now_and_then, first, second = ticket(terms=B), ticket(terms=A), ticket(terms=A)
        engines.send(now_and_then)
        engines.placer.left(now_and_then)
        for each in (first, second):
            engines.send(each)
        assert [each.sequence(0).yields for each in (now_and_then, first, second)] == [
            False,
            False,
            yields,
        ]

    async def test_is_not_for_who_goes_ahead(self, engines: Engines) -> None:
        for _ in range(3):
            engines.place(terms=A)
        late = ticket(terms=B)
        engines.send(late)
        assert (late.ahead, late.yields) == (True, False)


class TestChoosing:
    async def test_is_the_policys(self, clock: FakeClock) -> None:
        engines = Engines(clock, policy="round_robin")
        first, second = engines.links
        assert [engines.place() for _ in range(4)] == [first, second, first, second]

    async def test_of_an_unknown_policy_is_an_error(self, clock: FakeClock) -> None:
        with pytest.raises(KeyError):
            Engines(clock, policy="best").place()

    async def test_is_by_load(self, engines: Engines) -> None:
        busy, free = engines.links
        busy.submit(ticket(prompt=[1] * 8, expected_output=100))
        assert engines.place() is free

    async def test_is_among_those_whose_cache_has_room(self, engines: Engines) -> None:
        small, large = engines.links
        small.others = large.others = 1
        small.report = Load(kv_cache_usage=0.9)
        large.submit(ticket(prompt=[1] * 16, expected_output=100))
        assert engines.place(prompt=[2] * 500) is large
        assert engines.place(prompt=[2] * 16) is small

    async def test_finds_none_when_it_fits_nowhere(self, engines: Engines) -> None:
        for link in engines.links:
            link.others, link.report = 1, Load(kv_cache_usage=0.9)
        assert engines.place(prompt=[2] * 500) is None
        assert not engines.placer._holdings

    async def test_lets_an_idle_engine_take_what_is_too_long_for_it(self, engines: Engines) -> None:
        assert engines.place(prompt=[2] * 10_000) is not None


class TestCaches:
    async def test_have_what_was_sent_there(self, engines: Engines) -> None:
        first = engines.place(prompt=PROMPT, terms=A)
        assert first is not None
        [second] = [link for link in engines.links if link is not first]
        assert engines.cached(second, PROMPT) == 0
        assert engines.cached(first, PROMPT) == len(PROMPT) - 1

    async def test_draw_the_same_prompt_to_the_same_engine(self, engines: Engines) -> None:
        first = engines.place(prompt=PROMPT)
        assert first is not None
        [ended] = first.tickets
        first.withdraw(ended)
        engines.placer.left(ended)
        assert engines.place(prompt=PROMPT) is first

    async def test_are_not_shared_across_salts(self, engines: Engines) -> None:
        salted = Terms("a", cache_salt="pepper")
        first = engines.place(prompt=PROMPT, terms=A)
        assert first is not None
        assert engines.cached(first, PROMPT, salted) == 0
        assert engines.cached(first, PROMPT, salted) > 0

    async def test_are_not_shared_across_adapters(self, engines: Engines) -> None:
        link = engines.links[0]
        salted = Terms("a", cache_salt="pepper")
        ways = [(A, None), (A, 1), (A, 2), (salted, None), (salted, 1)]
        for terms, adapter in ways:
            assert engines.cached(link, PROMPT, terms, adapter) == 0
        for terms, adapter in ways:
            assert engines.cached(link, PROMPT, terms, adapter) > 0

    async def test_have_lost_what_the_engine_says_they_have_not_and_what_is_older(
        self, engines: Engines
    ) -> None:
        link, older = engines.links[0], list(range(5000, 5000 + 10 * BLOCK))
        for prompt in (older, PROMPT, PROMPT):
            engines.cached(link, prompt)
            engines.placer.observed(link.tickets[-1], link, Delta(0, "", [1], num_cached_tokens=0))
        assert engines.cached(link, older) == 0

    async def test_say_nothing_of_a_prompt_that_is_scored(self, engines: Engines) -> None:
        """An engine computes all of it, whatever it has cached."""
        link = engines.links[0]
        engines.cached(link, PROMPT)
        [sent] = link.tickets
        engines.placer.observed(sent, link, Delta(0, "", [1], num_cached_tokens=0))
        scored = ticket(prompt=PROMPT, sampling=Sampling(1, prompt_logprobs=0), terms=A)
        engines.placer.look()
        engines.placer.choose(scored)
        engines.placer.place(scored, link)
        engines.placer.observed(scored, link, Delta(0, "", [1], num_cached_tokens=0))
        assert engines.cached(link, PROMPT) > 0

    async def test_have_the_answer_too_for_what_follows_it(self, engines: Engines) -> None:
        link = engines.links[0]
        engines.cached(link, PROMPT)
        [asked] = link.tickets
        answer = list(range(5000, 5000 + 3 * BLOCK + 1))
        asked.emitted += answer
        engines.placer.remember(asked, link)
        conversation = [*PROMPT, *answer, *([9] * BLOCK)]
        assert engines.cached(link, conversation) == 13 * BLOCK

    async def test_do_not_have_the_last_token_which_was_only_sampled(
        self, engines: Engines
    ) -> None:
        link = engines.links[0]
        engines.cached(link, PROMPT)
        [asked] = link.tickets
        answer = list(range(5000, 5000 + BLOCK))
        asked.emitted += answer
        engines.placer.remember(asked, link)
        assert engines.cached(link, [*PROMPT, *answer, 9]) == 10 * BLOCK

    async def test_are_forgotten_with_their_engine(self, engines: Engines) -> None:
        link = engines.links[0]
        engines.cached(link, PROMPT)
        engines.placer.forget(link)
        assert engines.cached(link, PROMPT) == 0

    async def test_need_no_hashes_where_the_policy_does_not_look(self, clock: FakeClock) -> None:
        engines = Engines(clock, policy="least_loaded")
        link = engines.place(prompt=PROMPT)
        assert link is not None
        [placed] = link.tickets
        assert placed.hashes == ()
        placed.emitted += PROMPT
        engines.placer.observed(placed, link, Delta(0, "", [1]))
        engines.placer.remember(placed, link)
        assert engines.cached(link, PROMPT) == 0
