"""What holds of the queue whatever comes: nothing lost, nobody starved, lags and ages bounded."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from deployments.scheduling.fair_queue import FairQueue
from deployments.scheduling.fifo import FifoQueue
from deployments.scheduling.queue import Queue
from deployments.scheduling.terms import Level, Terms

INTERACTIVE, STANDARD, BATCH = Level
NAMES = "abcde"
AGEING_S = {STANDARD: 10.0, BATCH: 30.0}

cases = settings(max_examples=1_000, deadline=None)
costs = st.integers(1, 1_000)
weights = st.floats(0.25, 4)
names = st.sampled_from(NAMES)
levels = st.sampled_from(Level)
by_name = st.fixed_dictionaries(dict.fromkeys(NAMES, weights))


@dataclass(eq=False)
class Waiting:
    """A sequence that waits."""

    terms: Terms
    cost: float
    enqueued_at: float = 0.0


def job(tenant: str, weight: float, cost: float, level: Level = STANDARD) -> Waiting:
    return Waiting(Terms(tenant=tenant, weight=weight, level=level), cost)


class AnyQueue(RuleBasedStateMachine):
    """Beside the queue goes a list of what must be in it."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: Queue[Waiting] = self.make()
        self.now = 0.0
        self.pushed: list[Waiting] = []
        self.lost: list[Waiting] = []
        self.started: list[Waiting] = []

    def make(self) -> Queue[Waiting]:
        raise NotImplementedError

    @initialize(weights=by_name)
    def tenants(self, weights: dict[str, float]) -> None:
        self.weights = weights

    def terms(self, tenant: str, level: Level) -> Terms:
        return Terms(tenant=tenant, weight=self.weights[tenant], level=level)

    @rule(tenant=names, level=levels, cost=costs)
    def push(self, tenant: str, level: Level, cost: int) -> None:
        one = Waiting(self.terms(tenant, level), cost, self.now)
        self.queue.push(one)
        self.pushed.append(one)

    @precondition(lambda self: self.started)
    @rule(data=st.data())
    def lose_an_engine(self, data: st.DataObject) -> None:
        one = self.started.pop(data.draw(st.integers(0, len(self.started) - 1)))
        self.queue.give_back(one)
        self.lost.append(one)

    @precondition(lambda self: self.pushed or self.lost)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.pushed + self.lost))
        assert self.queue.remove(one)
        assert not self.queue.remove(one)
        (self.lost if one in self.lost else self.pushed).remove(one)

    @rule(tenant=names, level=levels, tokens=st.integers(-2_000, 2_000))
    def correct(self, tenant: str, level: Level, tokens: int) -> None:
        self.queue.correct(self.terms(tenant, level), tokens)

    @rule(s=st.floats(0, 20))
    def wait(self, s: float) -> None:
        self.now += s

    @rule(largest=costs, barred=st.sets(names, max_size=2))
    def select(self, largest: int, barred: set[str]) -> None:
        self.start(lambda one: one.cost <= largest and one.terms.tenant not in barred)

    @rule()
    def select_any(self) -> None:
        self.start(lambda one: True)

    def start(self, allowed: Callable[[Waiting], bool]) -> None:
        candidates = [one for one in self.lost if allowed(one)][:1]
        candidates = candidates or [one for one in self.next_in_line() if allowed(one)]
        one = self.queue.select(self.now, allowed)
        if one is None:
            assert not candidates, "something could have been started"
            return
        assert one in candidates
        (self.lost if one in self.lost else self.pushed).remove(one)
        self.started.append(one)

    def next_in_line(self) -> list[Waiting]:
        raise NotImplementedError

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        here = self.pushed + self.lost
        assert sorted(map(id, self.queue)) == sorted(map(id, here))
        assert len(self.queue) == len(here)
        assert self.queue.cost == sum(one.cost for one in here)
        assert self.queue.waiting() == {
            level: (len(there), sum(there))
            for level in Level
            for there in [[one.cost for one in here if one.terms.level is level]]
        }

    @invariant()
    def no_more_is_ahead_than_there_is(self) -> None:
        for level in Level:
            ahead = self.queue.ahead(self.terms("a", level))
            assert 0 <= ahead.jobs <= len(self.queue)
            assert 0 <= ahead.cost <= self.queue.cost + 1e-6

    def teardown(self) -> None:
        for _ in range(len(self.queue)):
            self.start(lambda one: True)
        assert self.queue.select(self.now) is None


class AnyFairQueue(AnyQueue):
    def make(self) -> Queue[Waiting]:
        return FairQueue(ageing_s=AGEING_S)

    def next_in_line(self) -> list[Waiting]:
        first: dict[tuple[str, Level], Waiting] = {}
        for one in self.pushed:
            first.setdefault((one.terms.tenant, one.terms.level), one)
        return list(first.values())


class AnyFifoQueue(AnyQueue):
    def make(self) -> Queue[Waiting]:
        return FifoQueue()

    def next_in_line(self) -> list[Waiting]:
        return self.pushed

    def start(self, allowed: Callable[[Waiting], bool]) -> None:
        first = next((one for one in self.lost + self.pushed if allowed(one)), None)
        super().start(allowed)
        assert first is None or self.started[-1] is first


AnyFairQueue.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
AnyFifoQueue.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestNothingIsLostOrStuckFair = AnyFairQueue.TestCase
TestNothingIsLostOrStuckFifo = AnyFifoQueue.TestCase


@dataclass
class Shares:
    """What each tenant has been served for its weight, and how far that has gone apart."""

    weights: dict[str, float]
    served: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    largest: float = 0.0

    def add(self, tenant: str, tokens: float) -> None:
        self.served[tenant] += tokens / self.weights[tenant]

    def start(self, one: Waiting) -> None:
        self.add(one.terms.tenant, one.cost)
        self.largest = max(self.largest, one.cost)

    def lead(self, a: str, b: str) -> float:
        return self.served[a] - self.served[b]

    def bound(self, a: str, b: str, outstanding: float = 0.0) -> float:
        tokens = self.largest + outstanding
        return tokens * (1 / self.weights[a] + 1 / self.weights[b]) * (1 + 1e-9)


class Server:
    """Starts jobs and corrects what they were charged, in two steps each."""

    def __init__(self, weights: dict[str, float], uses: list[tuple[int, float]]) -> None:
        """Costs, and the multiple of it that is used in the end, come round and round."""
        self.queue: FairQueue[Waiting] = FairQueue()
        self.shares = Shares(weights)
        self._uses = cycle(uses)
        self._used: dict[Waiting, float] = {}
        self._corrections: dict[Waiting, list[float]] = {}
        """Those still to come for the jobs that run."""

    def push(self, tenant: str) -> None:
        cost, multiple = next(self._uses)
        one = job(tenant, self.shares.weights[tenant], cost)
        self._used[one] = cost * multiple
        self.queue.push(one)

    def start(self) -> str:
        one = self.queue.select(0.0)
        assert one is not None
        self.shares.start(one)
        self._corrections[one] = [(self._used[one] - one.cost) / 2] * 2
        return one.terms.tenant

    def correct(self, which: float) -> None:
        """The first to run is 0, the last one 1."""
        running = [one for one, corrections in self._corrections.items() if corrections]
        if running:
            one = running[round(which * (len(running) - 1))]
            tokens = self._corrections[one].pop()
            self.queue.correct(one.terms, tokens)
            self.shares.add(one.terms.tenant, tokens)

    def outstanding(self, tenant: str) -> float:
        return sum(
            abs(sum(corrections))
            for one, corrections in self._corrections.items()
            if one.terms.tenant == tenant
        )


comings_and_goings = st.lists(st.tuples(names, costs, st.integers(0, 3)), max_size=60)
"""Who comes with what, and how many starts there are before the next."""


class TestServiceLag:
    @cases
    @given(by_name, comings_and_goings)
    def test_of_two_that_both_wait_is_bounded(
        self, weights: dict[str, float], schedule: list[tuple[str, int, int]]
    ) -> None:
        queue: FairQueue[Waiting] = FairQueue()
        shares = Shares(weights)
        leads: dict[tuple[str, str], list[float]] = {}
        """By pair, since when both wait."""

        def look() -> None:
            here = {one.terms.tenant for one in queue}
            for a, b in [(a, b) for a in NAMES for b in NAMES if a < b]:
                if a in here and b in here:
                    leads.setdefault((a, b), []).append(shares.lead(a, b))
                else:
                    leads.pop((a, b), None)

        def check() -> None:
            for (a, b), seen in leads.items():
                assert max(seen) - min(seen) <= shares.bound(a, b)

        for tenant, cost, starts in schedule:
            queue.push(job(tenant, weights[tenant], cost))
            look()
            for _ in range(starts):
                one = queue.select(0.0)
                if one is not None:
                    shares.start(one)
                look()
                check()

    @cases
    @given(
        by_name,
        st.lists(st.tuples(costs, st.floats(0, 3)), min_size=1, max_size=15),
        st.lists(st.one_of(st.just("start"), st.just("visit"), st.floats(0, 1)), max_size=80),
    )
    def test_is_bounded_with_corrections_outstanding(
        self,
        weights: dict[str, float],
        uses: list[tuple[int, float]],
        schedule: list[str | float],
    ) -> None:
        """A number in the schedule says which of the running jobs is corrected."""
        server = Server(weights, uses)
        for tenant in "aabb":
            server.push(tenant)
        outstanding, leads, had_turn = 0.0, list[float](), set[str]()
        for step in schedule:
            if step == "visit":
                server.push("c")
            elif step == "start":
                tenant = server.start()
                had_turn.add(tenant)
                if tenant in "ab":  # these two always wait
                    server.push(tenant)
            elif isinstance(step, float):
                server.correct(step)
            outstanding = max(outstanding, server.outstanding("a"), server.outstanding("b"))
            if had_turn >= {"a", "b"}:
                leads.append(server.shares.lead("a", "b"))
        if leads:
            assert max(leads) - min(leads) <= server.shares.bound("a", "b", outstanding)

    @cases
    @given(by_name, comings_and_goings)
    def test_nobody_gets_ahead_by_going_and_coming(
        self, weights: dict[str, float], schedule: list[tuple[str, int, int]]
    ) -> None:
        queue: FairQueue[Waiting] = FairQueue()
        shares = Shares(weights)
        least = dict.fromkeys(NAMES, 0.0)
        queue.push(job("a", weights["a"], 10))
        for tenant, cost, starts in schedule:
            queue.push(job(tenant, weights[tenant], cost))
            for _ in range(starts):
                queue.push(job("a", weights["a"], cost))  # it always waits
                one = queue.select(0.0)
                assert one is not None
                shares.start(one)
                for other in NAMES[1:]:
                    lead = shares.lead(other, "a")
                    least[other] = min(least[other], lead)
                    assert lead - least[other] <= shares.bound(other, "a")

    @cases
    @given(
        by_name,
        comings_and_goings,
        names,
        costs,
        st.lists(st.integers(300, 1_000), min_size=1, max_size=9),
    )
    def test_nobody_is_starved_by_floods(
        self,
        weights: dict[str, float],
        schedule: list[tuple[str, int, int]],
        tenant: str,
        cost: int,
        flood: list[int],
    ) -> None:
        queue: FairQueue[Waiting] = FairQueue()
        for other, size, turns in schedule:
            queue.push(job(other, weights[other], size))
            for _ in range(turns):
                queue.select(0.0)
        for other in NAMES:
            queue.push(job(other, weights[other], flood[0]))
        last = job(tenant, weights[tenant], cost)
        queue.push(last)
        own = sum(one.cost for one in queue if one.terms.tenant == tenant) - cost
        shares = Shares(weights, largest=max(cost, *flood, *(size for _, size, _ in schedule)))
        starts = 0
        while (one := queue.select(0.0)) is not last:
            assert one is not None
            shares.start(one)
            queue.push(job(one.terms.tenant, one.terms.weight, flood[starts % len(flood)]))
            starts += 1
            for other in NAMES:
                limit = own / weights[tenant] + shares.bound(other, tenant)
                assert shares.served[other] <= limit * (1 + 1e-9)


class TestAhead:
    @cases
    @given(
        st.fixed_dictionaries(
            dict.fromkeys(NAMES, st.tuples(st.sampled_from([0.5, 1, 2, 4]), st.integers(1, 9)))
        ),
        st.lists(st.tuples(names, levels, st.integers(0, 2)), max_size=40),
        names,
        levels,
    )
    def test_is_what_starts_before_where_each_tenants_jobs_cost_the_same(
        self,
        tenants: dict[str, tuple[float, int]],
        schedule: list[tuple[str, Level, int]],
        tenant: str,
        level: Level,
    ) -> None:
        queue: FairQueue[Waiting] = FairQueue()
        for name, urgency, starts in schedule:
            queue.push(job(name, *tenants[name], urgency))
            for _ in range(starts):
                queue.select(0.0)
        new = job(tenant, *tenants[tenant], level)
        there = {one.terms.tenant for one in queue if one.terms.level is level}
        foretold = queue.ahead(new.terms)
        queue.push(new)
        before: list[Waiting] = []
        while (one := queue.select(0.0)) is not new:
            assert one is not None
            before.append(one)
        if tenant in there:
            assert abs(len(before) - foretold.jobs) <= len(there - {tenant})
        else:
            assert foretold == (len(before), sum(one.cost for one in before))


class TestAge:
    """The most urgent level always has something waiting."""

    @pytest.mark.parametrize("every", [2, 4])
    @settings(cases, max_examples=500)
    @given(
        st.lists(
            st.one_of(
                st.tuples(names, st.sampled_from([STANDARD, BATCH]), costs),
                st.floats(0, 20),
                st.integers(1, 9),
            ),
            max_size=40,
        )
    )
    def test_no_job_waits_longer_than_its_bound_nor_takes_more_than_its_turn(
        self, every: int, schedule: list[tuple[str, Level, int] | float | int]
    ) -> None:
        """A job comes, time passes (a float), or some start (an integer); then all the rest."""
        queue: FairQueue[Waiting] = FairQueue(ageing_s=AGEING_S, aged_every=every)
        now, starts = 0.0, 0
        due: dict[Waiting, int] = {}
        """How many starts there have been at the latest when an aged job has started."""
        out_of_turn: list[int] = []

        def start() -> None:
            nonlocal starts
            queue.push(job("z", 1, 10, INTERACTIVE))
            ages = {
                one: one.enqueued_at + AGEING_S[one.terms.level]
                for one in queue
                if one.terms.level is not INTERACTIVE
            }
            for one, aged_at in ages.items():
                if aged_at <= now and one not in due:
                    before = sum(other <= aged_at for other in ages.values()) - 1
                    due[one] = starts + every * (before + 1)
            one_started = queue.select(now)
            starts += 1
            assert one_started is not None
            if one_started in ages:
                assert ages[one_started] <= now, "the urgent go first"
                out_of_turn.append(starts)
                assert starts <= due[one_started]

        queue.push(job("z", 1, 10, INTERACTIVE))
        for step in schedule:
            if isinstance(step, tuple):
                tenant, level, cost = step
                queue.push(Waiting(Terms(tenant=tenant, level=level), cost, now))
            elif isinstance(step, float):
                now += step
            else:
                for _ in range(step):
                    start()
        now += max(AGEING_S.values())
        left = sum(count for level, (count, _) in queue.waiting().items() if level > INTERACTIVE)
        for _ in range(every * left):
            start()
        assert queue.waiting()[STANDARD] == queue.waiting()[BATCH] == (0, 0)
        assert all(later - earlier >= every for earlier, later in pairwise(out_of_turn))
