"""In which order an engine takes in prompts that come together."""

from collections.abc import Iterator

import pytest

from deployments import engine_args
from deployments.messages import Sampling, Sequence
from tests.support import resuming

pytestmark = pytest.mark.skipif(
    not engine_args.is_cpu_build(), reason="the engine is that of vLLM's CPU build"
)

HOW = Sampling(max_tokens=4, temperature=0.0)
CROWD = [Sequence(0, [i + 6] * 30, HOW) for i in range(10)]
LONG = Sequence(0, list(range(6, 306)), HOW)
SHORT = Sequence(0, [300] * 20, HOW)
AHEAD = Sequence(0, [300] * 20, HOW, ahead=True)


@pytest.fixture(scope="module")
def engine() -> Iterator[resuming.EngineProcess]:
    with resuming.engine(max_num_batched_tokens=32, enable_prefix_caching=False) as running:
        yield running


def place(engine: resuming.EngineProcess, before: list[Sequence], last: Sequence) -> int:
    """As the how-manieth the last one begins."""
    return engine.ask([*before, last]).begun.index(len(before))


def test_a_prompt_waits_for_those_that_came_before_it(engine: resuming.EngineProcess) -> None:
    assert place(engine, CROWD, SHORT) == len(CROWD)


def test_one_that_goes_ahead_waits_for_the_step_under_way(engine: resuming.EngineProcess) -> None:
    assert place(engine, CROWD, AHEAD) <= 2  # a step or two began before it came


def test_it_interrupts_a_long_prompt(engine: resuming.EngineProcess) -> None:
    assert place(engine, [LONG], SHORT) == 1
    assert place(engine, [LONG], AHEAD) == 0


def test_nobodys_answer_is_another_for_it(engine: resuming.EngineProcess) -> None:
    together = engine.ask([*CROWD[:4], LONG, AHEAD, *CROWD[4:], AHEAD])
    alone = [engine.ask([one]).deltas[0] for one in (*CROWD[:4], LONG, AHEAD, *CROWD[4:], AHEAD)]
    assert [[delta.token_ids for delta in deltas] for deltas in together.deltas] == [
        [delta.token_ids for delta in deltas] for deltas in alone
    ]
    assert together.unfinished == 0
