"""An engine goes on with the thought, or behind the thought, that another began."""

from collections.abc import Iterator

import pytest

from deployments import engine_args
from deployments.messages import Reasoning, StructuredOutputs
from tests.integration.test_resume import PROMPT, SCHEMA, check_every_seam, sampling
from tests.support import resuming, thinker

pytestmark = pytest.mark.skipif(
    not engine_args.is_cpu_build(), reason="the engine is that of vLLM's CPU build"
)
BUDGET = 6
BEGINS, ENDS = 2, 3
"""The marks of a thought."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[resuming.EngineProcess]:
    model = thinker.config(tmp_path_factory.mktemp("thinker"))
    arguments = {"model": model["source"], "reasoning_parser": model["reasoning_parser"]}
    with resuming.engine(**arguments) as running:
        yield running


def test_a_thought_ends_where_its_budget_does(engine: resuming.EngineProcess) -> None:
    how = sampling(max_tokens=16, thinking_token_budget=BUDGET)
    whole, _ = check_every_seam(engine, [*PROMPT, BEGINS], how)
    assert whole.token_ids.index(ENDS) == BUDGET


def test_a_form_holds_from_where_the_thought_ends(engine: resuming.EngineProcess) -> None:
    how = sampling(
        max_tokens=120,
        thinking_token_budget=BUDGET,
        structured_outputs=StructuredOutputs(json=SCHEMA),
        reasoning=Reasoning(False, "{}"),
    )
    whole, _ = check_every_seam(engine, [*PROMPT, BEGINS], how)
    assert whole.token_ids.index(ENDS) == BUDGET
    assert whole.text.split("</think>")[1].startswith("{")


def test_a_form_holds_from_the_beginning_where_the_thought_has_ended(
    engine: resuming.EngineProcess,
) -> None:
    how = sampling(
        max_tokens=120,
        structured_outputs=StructuredOutputs(json=SCHEMA),
        reasoning=Reasoning(True, "{}"),
    )
    whole, _ = check_every_seam(engine, [*PROMPT, BEGINS, ENDS], how)
    assert whole.text.startswith("{")
