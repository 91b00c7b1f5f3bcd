"""Who goes first: levels, tenants, age; and first come, first served beside it."""

import pickle
from dataclasses import dataclass

import pytest

from deployments.scheduling.fair_queue import FairQueue
from deployments.scheduling.fifo import FifoQueue
from deployments.scheduling.queue import Queue
from deployments.scheduling.terms import Level, Terms

INTERACTIVE, STANDARD, BATCH = Level


@dataclass(eq=False)
class Waiting:
    """A sequence that waits."""

    terms: Terms
    cost: float
    enqueued_at: float


def job(
    tenant: str = "a",
    cost: float = 10.0,
    *,
    weight: float = 1.0,
    level: Level = STANDARD,
    priority: int = 0,
    at: float = 0.0,
) -> Waiting:
    terms = Terms(tenant=tenant, weight=weight, level=level, priority=priority)
    return Waiting(terms, cost, at)


def pushed(queue: Queue[Waiting], *jobs: Waiting) -> tuple[Waiting, ...]:
    for each in jobs:
        queue.push(each)
    return jobs


def flood(queue: Queue[Waiting], one: Waiting, count: int) -> list[Waiting]:
    """The same job many times over."""
    jobs = [Waiting(one.terms, one.cost, one.enqueued_at) for _ in range(count)]
    pushed(queue, *jobs)
    return jobs


def drained(queue: Queue[Waiting], count: int = 1_000_000, now: float = 0.0) -> list[Waiting]:
    """What starts next, in order."""
    started: list[Waiting] = []
    while len(started) < count and (one := queue.select(now)) is not None:
        started.append(one)
    return started


def tenants(jobs: list[Waiting]) -> str:
    return "".join(one.terms.tenant for one in jobs)


def levels(jobs: list[Waiting]) -> str:
    return "".join(one.terms.level.name[0] for one in jobs)


@pytest.fixture
def queue() -> FairQueue[Waiting]:
    return FairQueue(ageing_s={STANDARD: 10.0, BATCH: 60.0}, aged_every=4)


class TestWithinATenant:
    def test_jobs_start_in_the_order_in_which_they_came(self, queue: FairQueue[Waiting]) -> None:
        jobs = pushed(queue, job(cost=30), job(cost=1), job(cost=20))
        assert drained(queue) == list(jobs)

    def test_the_lowest_priority_starts_first(self, queue: FairQueue[Waiting]) -> None:
        some = [job(priority=priority) for priority in (0, 5, -1, 0, -1, 5)]
        pushed(queue, *some)
        assert drained(queue) == [some[i] for i in (2, 4, 0, 3, 1, 5)]

    def test_the_first_of_a_priority_may_leave(self, queue: FairQueue[Waiting]) -> None:
        last, first, second = pushed(queue, job(priority=1), job(), job())
        assert queue.remove(first)
        assert not queue.remove(first)
        assert queue.remove(second)
        assert list(queue) == drained(queue) == [last]

    def test_what_a_priority_lets_pass_is_not_ahead_of_it(self, queue: FairQueue[Waiting]) -> None:
        pushed(queue, job(cost=1, priority=-1), job(cost=2), job(cost=4, priority=1))
        costs = [queue.ahead(Terms("a", priority=priority)).cost for priority in (-2, -1, 0, 1)]
        assert costs == [0, 1, 3, 7]

    def test_priorities_say_nothing_between_tenants(self, queue: FairQueue[Waiting]) -> None:
        pushed(queue, *(job("a", priority=-100) for _ in range(3)), job("b"), job("b", priority=9))
        assert tenants(drained(queue)) == "ababa"

    def test_a_job_that_left_is_not_started(self, queue: FairQueue[Waiting]) -> None:
        first, second, third = pushed(queue, job(), job(), job())
        assert queue.remove(second)
        assert drained(queue) == [first, third]

    def test_the_first_may_leave_too(self, queue: FairQueue[Waiting]) -> None:
        first, second, third = pushed(queue, job(), job(), job())
        assert queue.remove(first)
        assert drained(queue) == [second, third]

    def test_none_goes_before_a_first_one_that_is_not_allowed(
        self, queue: FairQueue[Waiting]
    ) -> None:
        first, second = pushed(queue, job(), job())
        assert queue.select(0.0, lambda one: one is second) is None
        assert drained(queue) == [first, second]


class TestBetweenTenants:
    def test_a_flood_does_not_go_before_who_came_later(self, queue: FairQueue[Waiting]) -> None:
        flood(queue, job("a"), 100)
        drained(queue, 5)
        pushed(queue, job("b"))
        assert tenants(drained(queue, 2)) == "ba"

    def test_equals_take_turns(self, queue: FairQueue[Waiting]) -> None:
        for tenant in "abc":
            flood(queue, job(tenant), 3)
        assert tenants(drained(queue)) == "abcabcabc"

    def test_tokens_are_what_is_shared_and_not_turns(self, queue: FairQueue[Waiting]) -> None:
        flood(queue, job("a", 30), 4)
        flood(queue, job("b", 10), 12)
        assert tenants(drained(queue, 12)) == "abbb" * 3

    def test_twice_the_weight_is_twice_the_tokens(self, queue: FairQueue[Waiting]) -> None:
        flood(queue, job("a", weight=2), 20)
        flood(queue, job("b", weight=1), 20)
        assert tenants(drained(queue, 15)).count("a") == 10

    def test_who_was_idle_has_saved_nothing(self, queue: FairQueue[Waiting]) -> None:
        flood(queue, job("a"), 100)
        pushed(queue, job("b"))
        drained(queue, 50)
        flood(queue, job("b"), 100)
        assert tenants(drained(queue, 8)) == "babababa"

    def test_who_was_idle_while_nobody_waited_has_saved_nothing(
        self, queue: FairQueue[Waiting]
    ) -> None:
        flood(queue, job("a"), 50)
        drained(queue)
        flood(queue, job("a"), 10)
        flood(queue, job("b"), 10)
        assert tenants(drained(queue, 6)) == "ababab"

    def test_who_goes_and_comes_again_finds_what_it_owed(self, queue: FairQueue[Waiting]) -> None:
        flood(queue, job("a"), 100)
        pushed(queue, job("b", 50))
        drained(queue, 2)  # one of each
        pushed(queue, job("b", 50))
        assert tenants(drained(queue, 6)) == "aaaab" + "a"

    def test_what_was_used_in_one_level_is_not_held_against_another(
        self, queue: FairQueue[Waiting]
    ) -> None:
        flood(queue, job("a", level=INTERACTIVE), 50)
        drained(queue)
        flood(queue, job("a", level=BATCH), 3)
        flood(queue, job("b", level=BATCH), 3)
        assert tenants(drained(queue)) == "ababab"

    def test_a_tenant_whose_first_job_is_not_allowed_is_passed_over(
        self, queue: FairQueue[Waiting]
    ) -> None:
        big, _, small = pushed(queue, job("a", 100), job("a", 1), job("b", 10))
        assert queue.select(0.0, lambda one: one.cost < 50) is small
        assert queue.select(0.0) is big

    def test_who_was_passed_over_for_long_catches_up_by_one_job(
        self, queue: FairQueue[Waiting]
    ) -> None:
        flood(queue, job("a"), 50)
        flood(queue, job("b"), 50)
        for _ in range(20):
            queue.select(0.0, lambda one: one.terms.tenant == "b")
        assert tenants(drained(queue, 7)) == "aababab"


class TestCorrections:
    def test_what_a_job_used_beyond_its_cost_is_made_up_for(
        self, queue: FairQueue[Waiting]
    ) -> None:
        flood(queue, job("a"), 20)
        flood(queue, job("b"), 20)
        drained(queue, 2)
        queue.correct(job("a").terms, 30)
        assert tenants(drained(queue, 6)) == "bbb" + "aba"

    def test_what_a_job_left_unused_is_given_back(self, queue: FairQueue[Waiting]) -> None:
        flood(queue, job("a"), 20)
        flood(queue, job("b"), 20)
        drained(queue, 20)
        queue.correct(job("b").terms, -30)
        assert tenants(drained(queue, 6)) == "bbb" + "aba"

    def test_they_go_by_weight(self, queue: FairQueue[Waiting]) -> None:
        flood(queue, job("a", weight=2), 20)
        flood(queue, job("b"), 20)
        drained(queue, 3)
        queue.correct(job("a", weight=2).terms, 40)
        assert tenants(drained(queue, 4)) == "bb" + "ab"

    def test_an_overrun_is_remembered_of_one_who_has_nothing_waiting(
        self, queue: FairQueue[Waiting]
    ) -> None:
        pushed(queue, job("a"))
        drained(queue)
        queue.correct(job("a").terms, 30)
        flood(queue, job("b"), 5)
        flood(queue, job("a"), 5)
        assert tenants(drained(queue, 6)) == "bbb" + "aba"

    def test_a_refund_reduces_what_is_owed_by_one_who_has_nothing_waiting(
        self, queue: FairQueue[Waiting]
    ) -> None:
        flood(queue, job("b"), 10)
        pushed(queue, job("a", 100))
        drained(queue, 2)
        queue.correct(job("a").terms, -80)
        pushed(queue, job("a"))
        assert tenants(drained(queue, 3)) == "bab"

    def test_a_refund_is_no_credit_for_one_who_has_nothing_waiting(
        self, queue: FairQueue[Waiting]
    ) -> None:
        flood(queue, job("b"), 10)
        pushed(queue, job("a"))
        drained(queue, 4)
        queue.correct(job("a").terms, -1000)
        flood(queue, job("a"), 5)
        assert tenants(drained(queue, 6)) == "ababab"


class TestLevels:
    def test_the_more_urgent_go_first(self, queue: FairQueue[Waiting]) -> None:
        for level in (BATCH, STANDARD, INTERACTIVE):
            flood(queue, job(level=level), 2)
        assert levels(drained(queue)) == "IISSBB"

    def test_the_less_urgent_go_when_the_more_urgent_may_not(
        self, queue: FairQueue[Waiting]
    ) -> None:
        _, batch = pushed(queue, job(level=INTERACTIVE), job(level=BATCH))
        assert queue.select(0.0, lambda one: one.terms.level is BATCH) is batch

    def test_aged_jobs_take_every_fourth_turn(self, queue: FairQueue[Waiting]) -> None:
        flood(queue, job(level=BATCH), 3)
        flood(queue, job(level=INTERACTIVE), 9)
        assert levels(drained(queue, now=60.0)) == "IIIBIIIBIIIB"

    def test_jobs_that_are_not_yet_aged_take_none(self, queue: FairQueue[Waiting]) -> None:
        flood(queue, job(level=BATCH), 3)
        flood(queue, job(level=INTERACTIVE), 9)
        assert levels(drained(queue, now=59.9)) == "IIIIIIIIIBBB"

    def test_the_one_that_has_been_aged_longest_is_first(self, queue: FairQueue[Waiting]) -> None:
        flood(queue, job(level=INTERACTIVE), 20)
        pushed(queue, job(level=BATCH, at=30), job(level=STANDARD, at=70))
        pushed(queue, job(level=BATCH, at=40))
        assert levels(drained(queue, 12, now=100.0)) == "IIISIIIBIIIB"

    def test_an_aged_job_that_is_not_allowed_does_not_hold_up_the_next(
        self, queue: FairQueue[Waiting]
    ) -> None:
        flood(queue, job(level=INTERACTIVE), 20)
        pushed(queue, job("a", level=BATCH), job("b", level=BATCH))
        drained(queue, 3)
        started = queue.select(100.0, lambda one: one.terms.tenant == "b")
        assert started is not None
        assert started.terms.level is BATCH

    def test_a_level_that_has_no_age_given_waits_for_all_above(self) -> None:
        queue: FairQueue[Waiting] = FairQueue(ageing_s={})
        flood(queue, job(level=STANDARD), 2)
        flood(queue, job(level=INTERACTIVE), 5)
        assert levels(drained(queue, now=1e9)) == "IIIIISS"

    def test_the_most_urgent_cannot_age(self) -> None:
        with pytest.raises(ValueError, match="urgent"):
            FairQueue(ageing_s={INTERACTIVE: 1.0})

    def test_aged_jobs_cannot_be_given_every_turn(self) -> None:
        with pytest.raises(ValueError, match="aged_every"):
            FairQueue(aged_every=1)


class TestJobsThatLostTheirEngine:
    def test_go_before_all_others(self, queue: FairQueue[Waiting]) -> None:
        pushed(queue, job("a", level=INTERACTIVE))
        lost = job("b", level=BATCH)
        queue.give_back(lost)
        assert drained(queue)[0] is lost

    def test_are_not_charged_again(self, queue: FairQueue[Waiting]) -> None:
        flood(queue, job("a"), 5)
        flood(queue, job("b"), 5)
        lost = drained(queue, 2)[0]
        queue.give_back(lost)
        assert tenants(drained(queue, 5)) == "a" + "abab"

    def test_are_passed_over_when_not_allowed(self, queue: FairQueue[Waiting]) -> None:
        lost, (other,) = job("a", 100), pushed(queue, job("b"))
        queue.give_back(lost)
        assert queue.select(0.0, lambda one: one.cost < 50) is other
        assert queue.select(0.0) is lost

    def test_can_leave(self, queue: FairQueue[Waiting]) -> None:
        lost = job()
        queue.give_back(lost)
        assert queue.remove(lost)
        assert not queue.remove(lost)
        assert drained(queue) == []


class TestWhatWaits:
    def test_is_counted_by_level(self, queue: FairQueue[Waiting]) -> None:
        pushed(queue, job(cost=5), job("b", 7), job(cost=11, level=BATCH))
        queue.give_back(job("c", 13, level=BATCH))
        assert queue.waiting() == {INTERACTIVE: (0, 0.0), STANDARD: (2, 12.0), BATCH: (2, 24.0)}
        assert queue.cost == 36.0
        assert len(queue) == 4

    def test_can_be_gone_through(self, queue: FairQueue[Waiting]) -> None:
        jobs = {*pushed(queue, job(), job("b"), job(level=BATCH)), lost := job()}
        queue.give_back(lost)
        assert set(queue) == jobs

    def test_is_not_what_has_started_or_left(self, queue: FairQueue[Waiting]) -> None:
        started, left, never_there = *pushed(queue, job(), job()), job()
        queue.select(0.0)
        assert queue.remove(left)
        assert not any(queue.remove(one) for one in (started, left, never_there))
        assert (len(queue), queue.cost, list(queue)) == (0, 0.0, [])

    def test_costs_nothing_when_nothing_waits_whatever_was_rounded(
        self, queue: FairQueue[Waiting]
    ) -> None:
        jobs = pushed(queue, job(cost=0.1), job(cost=0.2), job(cost=0.3))
        for one in jobs:
            queue.remove(one)
        assert queue.cost == 0.0


class TestMemory:
    """What is pickled is all that a queue holds."""

    def size_after(self, count: int, overrun: float = 0.0) -> int:
        queue: FairQueue[Waiting] = FairQueue()
        for i in range(count):
            one = job(f"tenant {i}")
            queue.push(one)
            queue.select(0.0)
            queue.correct(one.terms, overrun)
        return len(pickle.dumps(queue))

    @pytest.mark.parametrize("overrun", [0.0, 25.0, -5.0])
    def test_does_not_grow_with_tenants_that_have_gone(self, overrun: float) -> None:
        assert self.size_after(10_000, overrun) < 2 * self.size_after(100, overrun)

    def test_does_not_grow_with_corrections_of_tenants_never_seen(
        self, queue: FairQueue[Waiting]
    ) -> None:
        flood(queue, job("a"), 3_000)
        for i in range(3_000):
            queue.correct(job(f"tenant {i}").terms, 20)
            queue.correct(job(f"tenant {i}").terms, -20)
            queue.select(0.0)
        assert len(pickle.dumps(queue)) < 5_000


class TestAhead:
    def test_of_the_first_there_is_nothing(self, queue: FairQueue[Waiting]) -> None:
        assert queue.ahead(job().terms) == (0, 0)

    def test_is_all_of_the_own_tenant(self, queue: FairQueue[Waiting]) -> None:
        flood(queue, job("a", 10), 7)
        assert queue.ahead(job("a").terms) == (7, 70)

    def test_is_one_job_of_another_tenants_flood(self, queue: FairQueue[Waiting]) -> None:
        flood(queue, job("a", 10), 100)
        assert queue.ahead(job("b").terms) == (1, 10)

    def test_is_of_a_heavier_tenant_what_its_weight_gives_it(
        self, queue: FairQueue[Waiting]
    ) -> None:
        flood(queue, job("a", 10, weight=3), 100)
        flood(queue, job("b", 10), 4)
        assert queue.ahead(job("b").terms) == (4 + 12, 160)

    def test_is_everything_more_urgent_and_nothing_less_urgent(
        self, queue: FairQueue[Waiting]
    ) -> None:
        flood(queue, job("a", 10, level=INTERACTIVE), 3)
        flood(queue, job("c", 10, level=BATCH), 3)
        assert queue.ahead(job("b").terms) == (3, 30)

    def test_is_what_has_lost_its_engine(self, queue: FairQueue[Waiting]) -> None:
        queue.give_back(job("a", 25, level=BATCH))
        assert queue.ahead(job("b", level=INTERACTIVE).terms) == (1, 25)

    def test_is_a_turn_in_four_of_aged_jobs(self, queue: FairQueue[Waiting]) -> None:
        flood(queue, job("a", 10), 13)
        flood(queue, job("c", 20, level=BATCH), 100)
        queue.select(60.0)
        assert queue.ahead(job("a").terms) == (12 + 4, 120 + 80)

    def test_is_no_more_of_aged_jobs_than_there_are(self, queue: FairQueue[Waiting]) -> None:
        flood(queue, job("a", 10), 100)
        flood(queue, job("c", 20, level=BATCH), 2)
        queue.select(60.0)
        assert queue.ahead(job("a").terms) == (99 + 2, 990 + 40)


class TestFifo:
    @pytest.fixture
    def fifo(self) -> FifoQueue[Waiting]:
        return FifoQueue()

    def test_jobs_start_in_the_order_in_which_they_came(self, fifo: FifoQueue[Waiting]) -> None:
        jobs = pushed(fifo, job("a", level=BATCH), job("b"), job("a", level=INTERACTIVE))
        assert drained(fifo) == list(jobs)

    def test_a_flood_goes_before_who_came_later(self, fifo: FifoQueue[Waiting]) -> None:
        flood(fifo, job("a"), 5)
        pushed(fifo, job("b"))
        assert tenants(drained(fifo)) == "aaaaab"

    def test_corrections_change_nothing(self, fifo: FifoQueue[Waiting]) -> None:
        pushed(fifo, job("a"), job("b"))
        fifo.correct(job("a").terms, 1000)
        assert tenants(drained(fifo)) == "ab"

    def test_one_that_is_not_allowed_is_passed_over(self, fifo: FifoQueue[Waiting]) -> None:
        _, second = pushed(fifo, job("a", 100), job("a", 10))
        assert fifo.select(0.0, lambda one: one.cost < 50) is second

    def test_what_has_lost_its_engine_goes_first(self, fifo: FifoQueue[Waiting]) -> None:
        pushed(fifo, job("a"))
        fifo.give_back(lost := job("b"))
        assert fifo.select(0.0) is lost

    def test_everything_that_waits_is_ahead(self, fifo: FifoQueue[Waiting]) -> None:
        pushed(fifo, job("a", 5), job("b", 7, level=BATCH))
        fifo.give_back(job("c", 11))
        assert fifo.ahead(job("d", level=INTERACTIVE).terms) == (3, 23)
        assert fifo.waiting() == {INTERACTIVE: (0, 0.0), STANDARD: (2, 16.0), BATCH: (1, 7.0)}
        assert (len(fifo), fifo.cost) == (3, 23.0)
