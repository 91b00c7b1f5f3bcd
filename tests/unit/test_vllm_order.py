"""What a step may take in while somebody goes ahead, before a scheduler that only notes it."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from deployments.vllm_order import PROMPT_SHARE, SHORT_FOR_S, SHORT_SHARE, Ordered, priority
from tests.unit.fakes import FakeClock

BATCH, SLOTS = 256, 16


@dataclass
class Request:
    priority: int
    tokens: int
    is_prefill_chunk: bool = False
    num_computed_tokens: int = 0
    num_output_placeholders: int = 0
    status: Any = field(default_factory=lambda: SimpleNamespace(name="WAITING"))

    @property
    def num_tokens_with_spec(self) -> int:
        return self.tokens


class Waiting(list[Request]):
    def peek_request(self) -> Request:
        return self[0]


@dataclass
class Noting:
    """As much of vLLM's scheduler as is touched."""

    running: list[Any] = field(default_factory=list)
    waiting: Waiting = field(default_factory=Waiting)
    max_num_running_reqs: int = SLOTS
    max_num_active_reqs: int = SLOTS
    max_num_scheduled_tokens: int = BATCH
    scheduler_config: Any = field(
        default_factory=lambda: SimpleNamespace(enable_chunked_prefill=True)
    )
    need_mamba_block_aligned_split: bool = False

    def add_request(self, request: Request) -> None:
        """Let it wait."""
        self.waiting.append(request)

    def schedule(self) -> tuple[int, int, int]:
        """The step's tokens, who runs, and how many may."""
        return self.max_num_scheduled_tokens, len(self.running), self.max_num_running_reqs


class Scheduler(Ordered, Noting):
    """Both, as an engine has them."""


@pytest.fixture
def scheduler(clock: FakeClock) -> Scheduler:
    scheduler = Scheduler()
    scheduler.now = clock
    return scheduler


def comes(clock: FakeClock, tokens: int, *, ahead: bool = False) -> Request:
    return Request(priority(clock(), ahead=ahead), tokens)


def somebody_went_ahead(scheduler: Scheduler, clock: FakeClock) -> None:
    """A moment ago."""
    scheduler.waiting.append(comes(clock, 40, ahead=True))
    scheduler.schedule()
    scheduler.waiting.clear()


def test_a_step_is_full_while_nobody_goes_ahead(scheduler: Scheduler, clock: FakeClock) -> None:
    scheduler.waiting.append(comes(clock, 100))
    clock.advance(60)  # it has waited for long, but behind nobody who went ahead
    assert scheduler.schedule() == (BATCH, 0, SLOTS)


def test_the_step_of_one_that_goes_ahead_takes_in_no_other_prompt(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    generating, chunk = comes(clock, 51), comes(clock, 900)
    generating.num_computed_tokens = 50
    chunk.is_prefill_chunk = True
    scheduler.running += [generating, chunk]
    late = comes(clock, 100)
    scheduler.waiting += [comes(clock, 40, ahead=True), late]
    assert scheduler.schedule() == (40, 0, SLOTS - 2)
    assert scheduler.running == [generating, chunk]
    assert scheduler.max_num_running_reqs == scheduler.max_num_active_reqs == SLOTS
    assert scheduler.max_num_scheduled_tokens == BATCH


def test_who_generates_sits_out_no_two_steps_in_a_row(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    generating, ahead = comes(clock, 51), comes(clock, 61, ahead=True)
    generating.num_computed_tokens, ahead.num_computed_tokens = 50, 60
    scheduler.running += [generating, ahead]
    scheduler.waiting.append(comes(clock, 40, ahead=True))
    steps = [scheduler.schedule() for _ in range(4)]
    assert steps == [(1 + 40, 1, SLOTS - 1), (2 + 40, 2, SLOTS)] * 2


def test_who_came_half_a_second_before_goes_with_it(scheduler: Scheduler, clock: FakeClock) -> None:
    early = comes(clock, 100)
    clock.advance(0.5)
    scheduler.waiting += [comes(clock, 40, ahead=True), early]
    clock.advance(0.1)
    assert scheduler.schedule()[0] == 140


def test_steps_are_short_for_a_while_then(scheduler: Scheduler, clock: FakeClock) -> None:
    somebody_went_ahead(scheduler, clock)
    scheduler.waiting.append(comes(clock, 900))
    clock.advance(SHORT_FOR_S - 0.1)
    assert scheduler.schedule()[0] == BATCH // SHORT_SHARE
    clock.advance(0.2)
    assert scheduler.schedule()[0] == BATCH


@pytest.mark.parametrize("yields", [False, True])
def test_steps_are_short_beside_who_yields(
    scheduler: Scheduler, clock: FakeClock, yields: bool
) -> None:
    scheduler.add_request(Request(priority(clock(), yields=yields), 900))
    assert scheduler.schedule()[0] == (BATCH // SHORT_SHARE if yields else BATCH)
    clock.advance(SHORT_FOR_S + 0.1)
    assert scheduler.schedule()[0] == BATCH


@pytest.mark.parametrize(
    ("generating", "prompts", "taken_in"),
    [
        (0, 1, BATCH // SHORT_SHARE),
        (SLOTS // 2, 1, BATCH // SHORT_SHARE // 2),
        (SLOTS - 1, 1, BATCH // PROMPT_SHARE),
        (SLOTS - 2, 2, 2 * BATCH // PROMPT_SHARE),
        (SLOTS - 8, 8, BATCH // SHORT_SHARE),
    ],
)
@pytest.mark.parametrize("begun", [False, True])
def test_a_short_step_takes_in_less_of_a_prompt_the_more_others_generate(
    scheduler: Scheduler,
    clock: FakeClock,
    generating: int,
    prompts: int,
    taken_in: int,
    begun: bool,
) -> None:
    somebody_went_ahead(scheduler, clock)
    scheduler.running += [comes(clock, 1) for _ in range(generating)]
    for prompt in [comes(clock, 900) for _ in range(prompts)]:
        prompt.is_prefill_chunk = begun
        (scheduler.running if begun else scheduler.waiting).append(prompt)
    assert scheduler.schedule()[0] == generating + taken_in


def test_a_short_step_has_no_share_for_a_prompt_without_a_slot(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    somebody_went_ahead(scheduler, clock)
    scheduler.running += [comes(clock, 1) for _ in range(SLOTS)]
    scheduler.waiting.append(comes(clock, 900))
    assert scheduler.schedule()[0] == SLOTS


def test_a_short_step_has_room_for_the_drafts_of_those_that_generate(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    somebody_went_ahead(scheduler, clock)
    speculating = comes(clock, 54)
    speculating.num_computed_tokens = 50
    scheduler.running += [speculating, *(comes(clock, 1) for _ in range(SLOTS - 1))]
    assert scheduler.schedule()[0] == 4 + SLOTS - 1


@pytest.mark.parametrize(("chunked", "aligned"), [(False, False), (True, True)])
def test_steps_stay_full_for_prompts_that_cannot_be_cut_anywhere(
    scheduler: Scheduler, clock: FakeClock, chunked: bool, aligned: bool
) -> None:
    scheduler.scheduler_config.enable_chunked_prefill = chunked
    scheduler.need_mamba_block_aligned_split = aligned
    scheduler.waiting.append(comes(clock, 40, ahead=True))
    assert scheduler.schedule()[0] == 40
    scheduler.waiting[:] = [comes(clock, 200)]
    assert scheduler.schedule()[0] == BATCH


def test_nobody_waits_for_a_grammar_of_one_that_goes_ahead(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    formed = comes(clock, 40, ahead=True)
    formed.status.name = "WAITING_FOR_STRUCTURED_OUTPUT_GRAMMAR"
    chunk = comes(clock, 900)
    chunk.is_prefill_chunk = True
    scheduler.running.append(chunk)
    scheduler.waiting += [formed, comes(clock, 100)]
    assert scheduler.schedule() == (BATCH, 1, SLOTS)


def test_who_cannot_start_stops_nobody_for_long(scheduler: Scheduler, clock: FakeClock) -> None:
    chunk = comes(clock, 900)
    chunk.is_prefill_chunk = True
    scheduler.running.append(chunk)
    scheduler.waiting.append(comes(clock, 40, ahead=True))
    clock.advance(0.4)
    assert scheduler.schedule() == (40, 0, SLOTS - 1)
    clock.advance(0.2)
    assert scheduler.schedule()[1:] == (1, SLOTS)


def test_a_long_prompt_that_goes_ahead_has_full_steps(
    scheduler: Scheduler, clock: FakeClock
) -> None:
    long = comes(clock, 900, ahead=True)
    scheduler.waiting.append(long)
    assert scheduler.schedule()[0] == BATCH
    scheduler.running.append(scheduler.waiting.pop())
    long.is_prefill_chunk = True
    assert scheduler.schedule()[0] == BATCH
