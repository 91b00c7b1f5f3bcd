"""What a request has to expect: what is taught to the forecast, and what is made of it."""

from typing import Any, cast

import pytest

from deployments.messages import Delta, Load
from deployments.outlook import Outlook
from deployments.scheduling.fair_queue import FairQueue
from deployments.scheduling.queue import Queue
from deployments.scheduling.terms import Level, Terms
from deployments.ticket import OUTPUT_WEIGHT, Ticket
from tests.unit.fakes import FakeClock
from tests.unit.peers import Recorder, ticket
from tests.unit.simulation import FACTS, STEP_S, SimulatedLink

SLOTS = FACTS["max_num_seqs"]


@pytest.fixture(autouse=True)
async def on_a_loop() -> None:
    """Streams are made on a running loop, though nothing here waits for it."""


class Scene:
    """A queue before one engine, and what is to be expected there."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.link = SimulatedLink(cast(Any, Recorder()), clock, max_num_batched_tokens=1000)
        self.queue: Queue[Ticket] = FairQueue()
        self.outlook = Outlook(self.queue, lambda: [self.link], clock)

    def first_token_s(self, **of_the_ticket: Any) -> float:
        return self.outlook.first_token_s(self.ticket(**of_the_ticket))

    def ticket(self, **more: Any) -> Ticket:
        return ticket(now=self.clock(), **more)

    def wait(self, count: int, **of_the_tickets: Any) -> None:
        """So many come to wait."""
        for _ in range(count):
            self.queue.push(self.ticket(**of_the_tickets))

    def run(self, count: int, expected_output: float = 10) -> list[Ticket]:
        """So many are with the engine, which has taken in their prompts."""
        running = [self.ticket(expected_output=expected_output) for _ in range(count)]
        for each in running:
            self.link.submit(each)
            self.begin(each)
        return running

    def begin(self, placed: Ticket, **of_the_delta: Any) -> None:
        """A placed ticket's first delta comes."""
        delta = Delta(0, "a", [1], **of_the_delta)
        self.link._begin(placed, delta)
        self.outlook.began(placed, delta)
        placed.emitted += delta.token_ids

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.link._heard_at = self.clock()
        self.outlook.tick()

    def work_off(self, tokens: int, seconds: float) -> None:
        """A window of time in which somebody waits all along and so many tokens come."""
        self.wait(1)
        self.outlook.tick()
        self.outlook.generated(tokens)
        self.pass_time(seconds)


@pytest.fixture
def scene(clock: FakeClock) -> Scene:
    return Scene(clock)


class TestFirstToken:
    async def test_comes_at_once_as_long_as_nothing_else_is_known(self, scene: Scene) -> None:
        assert scene.first_token_s() == 0

    async def test_takes_what_it_took_others(self, scene: Scene) -> None:
        placed = scene.ticket()
        scene.link.submit(placed)
        scene.clock.advance(0.25)
        scene.begin(placed)
        scene.link.report = Load()  # it does not know its steps yet
        assert scene.first_token_s() == pytest.approx(0.25)

    async def test_waits_for_no_slot_while_one_is_free(self, scene: Scene) -> None:
        scene.run(SLOTS - 1)
        assert scene.first_token_s() == 0

    async def test_waits_until_the_first_of_those_who_run_ends(self, scene: Scene) -> None:
        scene.run(SLOTS - 1, expected_output=21)
        scene.run(1, expected_output=11)
        assert scene.first_token_s() == pytest.approx(10 * STEP_S)

    async def test_waits_for_as_many_ends_as_there_are_before_it(self, scene: Scene) -> None:
        scene.run(SLOTS - 2, expected_output=31)
        scene.run(2, expected_output=11)
        scene.wait(2)
        assert scene.first_token_s() == pytest.approx(30 * STEP_S)

    async def test_waits_longer_the_more_wait_before_it(self, scene: Scene) -> None:
        scene.run(SLOTS)
        scene.work_off(tokens=1000, seconds=1.0)
        waits = []
        for _ in range(5):
            waits.append(scene.first_token_s())
            scene.wait(10)
        assert waits == sorted(set(waits))

    async def test_does_not_wait_for_those_who_are_less_urgent(self, scene: Scene) -> None:
        scene.run(SLOTS)
        scene.work_off(tokens=1000, seconds=1.0)
        urgent = Terms("me", level=Level.INTERACTIVE)
        alone = scene.first_token_s(terms=urgent)
        scene.wait(100, terms=Terms("b", level=Level.BATCH))
        assert scene.first_token_s(terms=urgent) == alone

    async def test_waits_for_prompts_that_are_taken_in_before_it(self, scene: Scene) -> None:
        placed = scene.ticket(prompt=[1] * 500)
        scene.link.submit(placed)
        scene.wait(1)
        scene.outlook.tick()
        scene.begin(placed)
        scene.pass_time(1.0)
        scene.queue.select(scene.clock())
        at_once = scene.first_token_s()
        scene.link.submit(scene.ticket(prompt=[1] * (scene.link.room.prefill_tokens + 250)))
        assert scene.first_token_s() - at_once == pytest.approx(0.5)

    async def test_is_not_helped_by_an_engine_that_takes_no_work(self, scene: Scene) -> None:
        scene.run(SLOTS - 1, expected_output=11)
        free = scene.first_token_s()
        scene.link.report = Load(draining=True, step_time_s=STEP_S)
        assert scene.first_token_s() > free


class TestPace:
    async def test_is_learnt_while_somebody_waits(self, scene: Scene) -> None:
        scene.work_off(tokens=100, seconds=2.0)
        assert scene.outlook.forecast.rate == pytest.approx(50 * OUTPUT_WEIGHT)

    async def test_is_not_learnt_while_nobody_waits(self, scene: Scene) -> None:
        scene.outlook.generated(100)
        scene.pass_time(1.0)
        assert scene.outlook.forecast.rate is None

    async def test_is_not_learnt_of_a_time_in_which_the_queue_was_empty_for_a_while(
        self, scene: Scene
    ) -> None:
        scene.wait(1)
        scene.outlook.tick()
        scene.outlook.generated(1)
        scene.outlook.nobody_waits()
        scene.pass_time(1.0)
        assert scene.outlook.forecast.rate is None

    async def test_counts_prompts_too(self, scene: Scene) -> None:
        placed = scene.ticket(prompt=[1] * 30)
        scene.link.submit(placed)
        scene.wait(1)
        scene.outlook.tick()
        scene.begin(placed)
        scene.pass_time(1.0)
        assert scene.outlook.forecast.rate == pytest.approx(30)

    async def test_counts_each_token_in_one_window_only(self, scene: Scene) -> None:
        scene.outlook.generated(1_000_000)  # before anybody waited
        scene.work_off(tokens=100, seconds=1.0)
        assert scene.outlook.forecast.rate == pytest.approx(100 * OUTPUT_WEIGHT)

    async def test_is_not_taken_from_no_time_at_all(self, scene: Scene) -> None:
        scene.work_off(tokens=100, seconds=0.0)
        assert scene.outlook.forecast.rate is None


class TestError:
    async def test_is_between_what_was_predicted_and_what_came(self, scene: Scene) -> None:
        placed = scene.ticket()
        placed.stream.predicted_s = 1.0
        scene.clock.advance(0.5)
        scene.link.submit(placed)
        scene.clock.advance(1.0)
        scene.begin(placed)
        assert scene.outlook.forecast.error_s.value == pytest.approx(0.5)

    async def test_is_of_a_requests_first_token_only(self, scene: Scene) -> None:
        placed = scene.ticket()
        placed.stream.begun = True
        scene.link.submit(placed)
        scene.clock.advance(1.0)
        scene.begin(placed)
        assert scene.outlook.forecast.error_s.value is None
