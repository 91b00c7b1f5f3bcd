"""Who goes next, to which engine, and what happens when an engine is lost."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from deployments.dispatcher import GRACE_S, Rules
from deployments.errors import (
    BadRequest,
    DeadlineExceeded,
    EngineFailed,
    EngineUnavailable,
    Overloaded,
)
from deployments.messages import Delta, Load
from deployments.scheduling.terms import Level, Terms
from tests.unit.simulation import STEP_S, Site

SLOTS = 4
A, B = Terms("a"), Terms("b")


@pytest.fixture(autouse=True)
async def on_a_loop() -> None:
    """Streams are made on a running loop, though nothing here waits for it."""


class Sites:
    """Makes sites and closes them."""

    def __init__(self) -> None:
        self.made: list[Site] = []

    def __call__(self, engines: int = 1, **more: Any) -> Site:
        rules = Rules(**{k: more.pop(k) for k in list(more) if k in Rules.__dataclass_fields__})
        self.made.append(Site(engines, rules, **more))
        return self.made[-1]


@pytest.fixture
def make() -> Iterator[Sites]:
    sites = Sites()
    yield sites
    for site in sites.made:
        site.close()


def until_all_have_ended(site: Site, *asked: Any, steps: int = 1000) -> None:
    for _ in range(steps):
        if all(each.has_ended for each in asked):
            return
        site.step()
    raise AssertionError("somebody waits for ever")


class TestWaiting:
    async def test_is_not_for_those_who_find_room(self, make: Sites) -> None:
        site = make()
        asked = site.ask()
        assert asked.tickets[0].place is not None

    async def test_is_in_the_router_and_not_in_the_engine(self, make: Sites) -> None:
        site = make()
        asked = [site.ask() for _ in range(SLOTS + 3)]
        assert site.links[0].in_flight == SLOTS
        assert sum(count for count, _ in site.dispatcher.waiting().values()) == 3
        until_all_have_ended(site, *asked)
        assert all(each.tokens == [[0, 1, 2, 3]] for each in asked)

    async def test_ends_as_soon_as_a_slot_is_free(self, make: Sites) -> None:
        site = make()
        first = [site.ask() for _ in range(SLOTS)]
        last = site.ask()
        first[0].cancel()
        assert last.tickets[0].place is not None

    async def test_ends_at_once_for_a_client_that_leaves(self, make: Sites) -> None:
        site = make()
        first = [site.ask() for _ in range(SLOTS)]
        gone, stays = site.ask(), site.ask()
        gone.cancel()
        until_all_have_ended(site, *first, stays)
        assert gone.tickets[0] not in site.links[0].received

    async def test_prompts_go_in_as_fast_as_the_engine_takes_them(self, make: Sites) -> None:
        site = make(max_num_seqs=100)
        for _ in range(100):
            site.ask(prompt=64, output=100)
        assert site.links[0].in_flight == 2
        site.step()
        assert site.links[0].in_flight == 3

    async def test_a_long_prompt_at_the_head_is_not_passed_over(self, make: Sites) -> None:
        site = make()
        running = site.ask(prompt=1000, output=50)
        site.step(30)
        long, short = site.ask(prompt=1500), site.ask(prompt=16)
        assert [long.tickets[0].place, short.tickets[0].place] == [None, None]
        until_all_have_ended(site, running, long, short)
        received = site.links[0].received
        assert received.index(long.tickets[0]) < received.index(short.tickets[0])

    async def test_a_prompt_that_fits_nowhere_yet_holds_up_no_more_urgent_one(
        self, make: Sites
    ) -> None:
        site = make()
        site.ask(prompt=1500, output=200)
        site.step(30)
        large = site.ask(prompt=800, terms=Terms("a", level=Level.BATCH))
        urgent = [site.ask(terms=Terms("b", level=Level.INTERACTIVE)) for _ in range(3)]
        site.step(40)
        assert all(each.is_complete for each in urgent)
        assert large.tickets[0].place is None

    async def test_a_prompt_that_fits_nowhere_yet_is_not_passed_over_for_ever(
        self, make: Sites
    ) -> None:
        site = make()
        large = site.ask(prompt=1500, output=4)
        for _ in range(3):
            site.ask(prompt=300, output=30)
        asked = site.ask(prompt=1600)
        flood: list[Any] = []
        for _ in range(300):
            flood = [each for each in flood if not each.has_ended]
            flood += [site.ask(prompt=200, terms=B) for _ in range(6 - len(flood))]
            site.step()
            if asked.has_ended:
                break
        assert large.is_complete
        assert asked.is_complete


class TestOrder:
    async def test_a_tenant_with_little_goes_before_the_rest_of_a_flood(self, make: Sites) -> None:
        site = make()
        flood = [site.ask(terms=A) for _ in range(50)]
        site.step(4)
        late = site.ask(terms=B)
        until_all_have_ended(site, late)
        assert sum(each.has_ended for each in flood) < 15

    async def test_in_a_fifo_it_waits_for_the_whole_flood(self, make: Sites) -> None:
        site = make(queue="fifo")
        flood = [site.ask(terms=A) for _ in range(50)]
        late = site.ask(terms=B)
        until_all_have_ended(site, late)
        assert sum(each.has_ended for each in flood) > 45

    async def test_the_more_urgent_class_goes_first(self, make: Sites) -> None:
        site = make()
        [site.ask(terms=A) for _ in range(SLOTS)]
        batch = site.ask(terms=Terms(level=Level.BATCH))
        urgent = site.ask(terms=Terms(level=Level.INTERACTIVE))
        until_all_have_ended(site, batch, urgent)
        received = site.links[0].received
        assert received.index(urgent.tickets[0]) < received.index(batch.tickets[0])

    async def test_a_tenants_own_priorities_order_what_it_has_waiting(self, make: Sites) -> None:
        site = make()
        [site.ask(terms=A) for _ in range(SLOTS)]
        asked = [site.ask(terms=replace(A, priority=priority)) for priority in (1, 0, -7, 0)]
        until_all_have_ended(site, *asked)
        received = site.links[0].received
        places = [received.index(each.tickets[0]) for each in asked]
        assert sorted(range(4), key=lambda index: places[index]) == [2, 1, 3, 0]

    async def test_a_fifo_takes_no_priorities(self, make: Sites) -> None:
        asked = make(queue="fifo").ask(terms=replace(A, priority=1))
        assert isinstance(asked.failure, BadRequest)
        assert asked.failure.param == "priority"

    async def test_the_last_slots_are_for_those_who_hold_few(self, make: Sites) -> None:
        site = make(max_num_seqs=32, max_num_batched_tokens=10_000)
        for _ in range(40):
            site.ask(output=1000, terms=A)
        assert site.links[0].in_flight == 30
        assert site.ask(terms=B).tickets[0].place is not None

    async def test_in_a_fifo_the_last_slots_are_for_everyone(self, make: Sites) -> None:
        site = make(queue="fifo", max_num_seqs=32, max_num_batched_tokens=10_000)
        for _ in range(40):
            site.ask(output=1000, terms=A)
        assert site.links[0].in_flight == 32

    async def test_what_an_engine_had_cached_is_not_charged(self, make: Sites) -> None:
        site = make()
        asked = site.ask(prompt=64)
        [ticket] = asked.tickets
        charged = ticket.charged
        site.dispatcher.began(site.links[0], ticket, Delta(0, "", [], num_cached_tokens=48))
        assert ticket.charged == charged - 48


class TestDeadlines:
    def tells_nothing(self, site: Site) -> None:
        """Nobody can tell how long those take who run."""
        site.links[0].tells_step_s = 0.0
        site.step()

    async def test_that_can_be_met_change_nothing(self, make: Sites) -> None:
        site = make()
        asked = site.ask(terms=Terms(deadline_s=1.0))
        until_all_have_ended(site, asked)
        assert asked.is_complete

    async def test_that_cannot_be_met_are_refused_at_once(self, make: Sites) -> None:
        site = make()
        busy = [site.ask(output=20) for _ in range(30)]
        until_all_have_ended(site, *busy[:10])
        asked = site.ask(terms=Terms(deadline_s=0.5))
        assert isinstance(asked.error, Overloaded)
        assert asked.error.retriable

    async def test_retry_after_is_when_the_request_would_be_taken(self, make: Sites) -> None:
        site = make()
        busy = [site.ask(output=20) for _ in range(60)]
        until_all_have_ended(site, *busy[:20])
        patience = Terms(deadline_s=1.0)
        refused = site.ask(terms=patience).error
        assert isinstance(refused, Overloaded)
        told_at = site.clock()
        while site.ask(terms=patience).refused:
            site.step()
        waited = site.clock() - told_at
        assert waited / 2 <= refused.retry_after_s <= waited * 2

    async def test_that_pass_in_the_queue_cost_no_engine_time(self, make: Sites) -> None:
        site = make()
        self.tells_nothing(site)
        busy = [site.ask(output=50) for _ in range(SLOTS)]
        asked = site.ask(terms=Terms(deadline_s=1.0))
        site.step(11)
        assert isinstance(asked.failure, DeadlineExceeded)
        assert asked.tickets[0] not in site.links[0].received
        until_all_have_ended(site, *busy)

    async def test_that_pass_in_the_engine_take_the_sequence_back(self, make: Sites) -> None:
        site = make()
        asked = site.ask(prompt=1500, terms=Terms(deadline_s=1.0))
        site.step(11)
        assert isinstance(asked.failure, DeadlineExceeded)
        assert site.links[0].in_flight == 0

    async def test_end_with_the_first_token(self, make: Sites) -> None:
        site = make()
        asked = site.ask(output=30, count=2, terms=Terms(deadline_s=1.0))
        until_all_have_ended(site, asked)
        assert asked.is_complete

    async def test_shorter_than_an_engine_takes_are_told_not_to_retry(self, make: Sites) -> None:
        site = make()
        until_all_have_ended(site, site.ask(prompt=640))
        site.ask(output=50)
        refused = site.ask(prompt=640, terms=Terms(deadline_s=0.2)).error
        assert isinstance(refused, Overloaded)
        assert not refused.retriable

    async def test_are_tried_where_nothing_else_is_there_to_learn_from(self, make: Sites) -> None:
        site = make()
        until_all_have_ended(site, site.ask(prompt=1280))
        asked = site.ask(prompt=16, terms=Terms(deadline_s=1.0))
        until_all_have_ended(site, asked)
        assert asked.is_complete

    async def test_nobody_waits_longer_than_the_rules_say(self, make: Sites) -> None:
        site = make(max_wait_s=1.0)
        self.tells_nothing(site)
        for _ in range(SLOTS):
            site.ask(output=100)
        asked = site.ask()
        site.step(11)
        assert isinstance(asked.failure, DeadlineExceeded)

    async def test_that_could_not_be_met_for_a_while_do_not_end_the_service_for_good(
        self, make: Sites
    ) -> None:
        site = make()
        slow = [site.ask(output=1) for _ in range(SLOTS)]
        site.links[0].frozen = True
        site.step(40)
        site.links[0].frozen = False
        until_all_have_ended(site, *slow)
        site.ask(output=600)
        asked = []
        for _ in range(20):
            asked.append(site.ask(output=2, terms=Terms(deadline_s=2.0)))
            site.step(4)
        assert all(each.is_complete for each in asked)

    async def test_of_a_choice_that_waits_on_when_another_has_begun_are_those_of_the_rules(
        self, make: Sites
    ) -> None:
        site = make(max_wait_s=5.0)
        self.tells_nothing(site)
        for _ in range(SLOTS - 1):
            site.ask(output=400)
        asked = site.ask(output=300, count=2, terms=Terms(deadline_s=1.0))
        site.step(30)
        assert not asked.has_ended
        site.step(25)
        assert isinstance(asked.failure, EngineFailed)


class TestBounds:
    async def test_of_the_queue_are_no_matter_to_who_goes_before_it_all(self, make: Sites) -> None:
        site = make(max_queued_tokens=200)
        for _ in range(SLOTS + 5):
            site.ask(prompt=16, output=10, terms=Terms("a", level=Level.BATCH))
        refused = site.ask(prompt=16, output=10, terms=Terms("a", level=Level.BATCH))
        urgent = site.ask(prompt=16, output=10, terms=Terms("b", level=Level.INTERACTIVE))
        assert [refused.refused, urgent.refused] == [True, False]

    async def test_of_the_queue_hold_for_all_together_at_four_times_as_much(
        self, make: Sites
    ) -> None:
        site = make(max_queued_tokens=100)
        taken = [
            not site.ask(prompt=16, output=10, terms=Terms(str(number))).refused
            for number in range(40)
        ]
        assert sum(taken) <= SLOTS + 400 // 36

    async def test_of_the_queue_are_in_tokens(self, make: Sites) -> None:
        site = make(max_queued_tokens=110)
        for _ in range(SLOTS):
            site.ask(output=1000)
        fits = [site.ask(prompt=16, output=10) for _ in range(3)]
        too_much = site.ask(prompt=16, output=10)
        assert [each.refused for each in fits] == [False, False, False]
        assert isinstance(too_much.error, Overloaded)
        assert too_much.error.retry_after_s > 0

    async def test_of_the_queue_let_one_large_request_in_when_it_is_empty(
        self, make: Sites
    ) -> None:
        site = make(max_queued_tokens=10)
        asked = site.ask(count=SLOTS + 1)
        until_all_have_ended(site, asked)
        assert asked.is_complete


class TestLosingAnEngine:
    async def test_others_go_on_where_it_ended(self, make: Sites) -> None:
        site = make(engines=2)
        asked = [site.ask(output=10) for _ in range(4)]
        site.step(5)
        site.links[0].die()
        until_all_have_ended(site, *asked)
        assert all(each.tokens == [list(range(10))] for each in asked)
        assert site.dispatcher.moves == 2

    async def test_what_it_had_goes_before_all_who_wait_in_its_order(self, make: Sites) -> None:
        site = make(engines=2)
        running = [site.ask(output=20) for _ in range(2 * SLOTS)]
        site.step(3)
        waiting = [site.ask() for _ in range(4)]
        lost = site.links[0].tickets
        site.links[0].die()
        until_all_have_ended(site, *running, *waiting)
        received = site.links[1].received[SLOTS:]
        assert received[: len(lost)] == lost

    async def test_one_that_stalls_is_left(self, make: Sites) -> None:
        site = make(engines=2)
        asked = [site.ask(output=10) for _ in range(4)]
        site.step(3)
        site.links[0].frozen = True
        site.links[0].report = Load(progressing=False)
        until_all_have_ended(site, *asked)
        assert all(each.tokens == [list(range(10))] for each in asked)

    async def test_deltas_of_one_that_was_left_are_not_passed_on(self, make: Sites) -> None:
        site = make(engines=2)
        asked = [site.ask(output=10) for _ in range(2)]
        site.step(3)
        stalled = site.links[0]
        stalled.frozen, stalled.report = True, Load(progressing=False)
        site.step()
        stalled.frozen, stalled.report = False, Load()
        until_all_have_ended(site, *asked)
        assert all(each.tokens == [list(range(10))] for each in asked)

    async def test_happens_to_a_sequence_only_so_often(self, make: Sites) -> None:
        site = make(max_moves=2)
        asked = site.ask(output=100)
        for _ in range(2):
            site.step(5)
            doomed, _ = site.links[-1], site.start_engine()
            doomed.die()
            assert not asked.has_ended
        site.start_engine()
        site.links[-2].die()
        assert isinstance(asked.failure, EngineFailed)

    async def test_that_was_draining_is_no_fault(self, make: Sites) -> None:
        site = make(engines=2, max_moves=0)
        asked = [site.ask(output=10) for _ in range(2)]
        site.step(3)
        draining = site.links[0]
        draining.report = Load(draining=True)
        assert not draining.takes_work
        draining.die()
        until_all_have_ended(site, *asked)
        assert all(each.is_complete for each in asked)
        assert draining.breaker.state == "closed"

    async def test_usage_counts_cached_tokens_of_the_first_engine_only(self, make: Sites) -> None:
        site = make(engines=2)
        asked = site.ask(output=10)
        site.step(3)
        [ticket] = asked.tickets
        again = Delta(0, "", [], num_cached_tokens=16)
        site.dispatcher.began(site.links[1], ticket, again)
        assert again.num_cached_tokens == 0


class TestLosingTheLastEngine:
    async def test_what_had_begun_fails_after_a_while(self, make: Sites) -> None:
        site = make()
        asked = site.ask(output=100)
        site.step(3)
        site.links[0].die()
        site.step(int(GRACE_S / STEP_S) - 1)
        assert not asked.has_ended
        site.step(2)
        assert isinstance(asked.failure, EngineFailed)

    async def test_what_had_not_begun_may_come_back(self, make: Sites) -> None:
        site = make()
        for _ in range(SLOTS):
            site.ask(output=100)
        waits = site.ask()
        site.links[0].die()
        site.step(int(GRACE_S / STEP_S) + 1)
        assert isinstance(waits.failure, EngineUnavailable)

    async def test_new_requests_are_refused_at_once_then(self, make: Sites) -> None:
        site = make()
        site.links[0].die()
        site.step(int(GRACE_S / STEP_S) + 1)
        assert isinstance(site.ask().error, EngineUnavailable)

    async def test_one_that_comes_in_time_takes_everything_over(self, make: Sites) -> None:
        site = make()
        asked = [site.ask(output=10) for _ in range(6)]
        site.step(3)
        site.links[0].die()
        site.step(5)
        site.start_engine()
        until_all_have_ended(site, *asked)
        assert all(each.tokens == [list(range(10))] for each in asked)


class TestErrors:
    def refuse(self, site: Site, ticket: Any, *, bad_request: bool) -> None:
        link, identity = ticket.place
        delta = Delta(identity, "", [], "error", error="no", bad_request=bad_request)
        link._settle(ticket, "failed")
        site.dispatcher.ended(link, ticket, delta)
        site.dispatcher.heard(link, 0)

    async def test_of_the_client_are_told_and_not_held_against_the_engine(
        self, make: Sites
    ) -> None:
        site = make()
        for _ in range(10):
            asked = site.ask()
            self.refuse(site, asked.tickets[0], bad_request=True)
            assert isinstance(asked.failure, BadRequest)
        assert site.links[0].breaker.state == "closed"

    async def test_of_the_engine_are_tried_elsewhere(self, make: Sites) -> None:
        site = make(engines=2)
        asked = site.ask()
        self.refuse(site, asked.tickets[0], bad_request=False)
        until_all_have_ended(site, asked)
        assert asked.is_complete

    async def test_that_follow_a_sequence_from_engine_to_engine_close_none(
        self, make: Sites
    ) -> None:
        site = make(engines=2)
        asked = site.ask()
        while not asked.has_ended:
            self.refuse(site, asked.tickets[0], bad_request=False)
        assert isinstance(asked.failure, EngineFailed)
        assert all(link.breaker.state == "closed" for link in site.links)

    async def test_of_the_engine_close_it_for_a_while(self, make: Sites) -> None:
        site = make(engines=2)
        first = site.links[0]
        for _ in range(20):
            asked = site.ask(output=1)
            while asked.tickets[0].place and asked.tickets[0].place[0] is first:
                self.refuse(site, asked.tickets[0], bad_request=False)
            until_all_have_ended(site, asked)
            assert asked.is_complete
        assert first.breaker.state != "closed"


class TestOpen:
    async def test_are_those_who_wait_or_are_under_way(self, make: Sites) -> None:
        site = make()
        asked = [site.ask(count=2) for _ in range(3)]
        assert site.dispatcher.open == 6
        asked[0].cancel()
        assert site.dispatcher.open == 4
        until_all_have_ended(site, *asked)
        assert site.dispatcher.open == 0


class TestClosing:
    async def test_fails_all_that_waits(self, make: Sites) -> None:
        site = make()
        asked = [site.ask() for _ in range(SLOTS + 2)]
        site.dispatcher.close()
        assert sum(each.failure is not None for each in asked) == 2
