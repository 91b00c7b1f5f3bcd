"""vLLM's own engine on a simulated GPU."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support import models, simulated

TOKENS = 64
FEW = 32
STEP_S = 0.02
CHUNK = 256
LONG = list(range(6, 506))  # takes two steps
CHOICES = ["positive", "negative"]
# Ids from 262 on are of more than one byte: vLLM repeats a prompt's end in the answer when that end
# is a part of a character.
PROMPTS = [[262 + i % 1700 for i in prompt] for prompt in models.prompts(10, seed=3)]

Answer = Mapping[str, Any]


def requests(prompts: list[list[int]], **fields: Any) -> list[dict[str, Any]]:
    """One request for each prompt."""
    return [{"prompt": prompt, "max_tokens": TOKENS, **fields} for prompt in prompts]


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """Of an engine whose steps take no time."""
    probe = [*LONG[:320], 7]
    rounds = [
        requests(PROMPTS[:1]),
        requests([*PROMPTS, LONG]),
        requests([probe]),
        requests([probe], seed=1),
        requests(PROMPTS, choice=CHOICES),
        requests(PROMPTS[:2], logprobs=3, prompt_logprobs=2) + requests(PROMPTS[2:3]),
    ]
    return simulated.ask(rounds, max_num_batched_tokens=CHUNK)


@pytest.fixture(scope="module")
def cramped(answers: dict[str, Any]) -> dict[str, Any]:
    """Of an engine with steps that take time and little room in its cache."""
    interrupted = PROMPTS[0] + tokens(answers["rounds"][0])[0][:FEW]
    return simulated.ask(
        [requests([interrupted], max_tokens=FEW), requests(PROMPTS)],
        simulated={"step_time": STEP_S},
        max_model_len=128,
        num_gpu_blocks_override=41,
        enable_prefix_caching=False,
    )


def tokens(answers: list[Answer]) -> list[list[int]]:
    return [answer["token_ids"] for answer in answers]


def test_a_prompt_has_the_same_answer_alone_and_in_a_batch(answers: dict[str, Any]) -> None:
    alone, batch, *_ = answers["rounds"]
    assert tokens(alone) == tokens(batch[:1])
    assert len({tuple(each) for each in tokens(batch)}) == len(batch), "prompts do not matter"


def test_an_answer_is_of_words_and_as_long_as_asked_for(answers: dict[str, Any]) -> None:
    for answer in answers["rounds"][1]:
        assert answer["finish_reason"] == "length"
        assert len(answer["token_ids"]) == TOKENS
        assert answer["text"].replace(" ", "").isalpha()


def test_a_prefix_that_is_cached_is_not_computed_again(answers: dict[str, Any]) -> None:
    _, first, probe, *_ = answers["rounds"]
    assert {answer["cached"] for answer in first[1:]} == {0}
    assert probe[0]["cached"] == 320


def test_a_seed_changes_the_answer(answers: dict[str, Any]) -> None:
    _, _, without, seeded, *_ = answers["rounds"]
    assert tokens(without) != tokens(seeded)


def test_structured_output_is_honoured(answers: dict[str, Any]) -> None:
    chosen = answers["rounds"][4]
    assert {answer["text"] for answer in chosen} == set(CHOICES)
    assert {answer["finish_reason"] for answer in chosen} == {"stop"}


def test_log_probabilities_are_those_of_a_uniform_draw(answers: dict[str, Any]) -> None:
    *asked, unasked = answers["rounds"][5]
    assert unasked["logprobs"] is None
    for answer, prompt in zip(asked, PROMPTS[:2], strict=True):
        assert [int(next(iter(row))) for row in answer["logprobs"]] == answer["token_ids"]
        assert {len(row) for row in answer["logprobs"]} == {3}
        nothing, *rows = answer["prompt_logprobs"]
        assert nothing is None
        assert [int(next(iter(row))) for row in rows] == prompt[1:]
        values = {value for row in answer["logprobs"] + rows for value in row.values()}
        (value,) = values
        assert -math.log(simulated.WORDS) < value < 0


def test_there_are_as_many_kv_blocks_as_the_gpu_would_hold(answers: dict[str, Any]) -> None:
    # 140.4 GiB at vLLM's 92 %, less 15 GiB of weights and the workspace; 128 KiB for each token.
    assert answers["kv_cache_tokens"] == pytest.approx(910_000, rel=0.01)


def test_a_preempted_sequence_goes_on_as_it_would_have(
    answers: dict[str, Any], cramped: dict[str, Any]
) -> None:
    assert cramped["preemptions"] > 0
    assert tokens(cramped["rounds"][1]) == tokens(answers["rounds"][1][:-1])


def test_a_sequence_interrupted_elsewhere_goes_on_here(
    answers: dict[str, Any], cramped: dict[str, Any]
) -> None:
    (whole,), (rest,) = tokens(answers["rounds"][0]), tokens(cramped["rounds"][0])
    assert rest == whole[FEW:]


def test_a_step_takes_its_time_whatever_the_batch(cramped: dict[str, Any]) -> None:
    (alone,), together = cramped["rounds"]
    assert FEW * STEP_S <= alone["seconds"] < 1.5 * FEW * STEP_S
    quickest = min(answer["seconds"] for answer in together)
    assert TOKENS * STEP_S <= quickest < 1.5 * TOKENS * STEP_S


def test_a_value_that_is_unknown_stops_the_start_with_one_clear_line() -> None:
    done = simulated.run([], simulated={"gpu": "h300"})
    assert done.returncode != 0
    lines = (done.stdout + done.stderr).splitlines()
    assert any("simulated.gpu: unknown value 'h300'" in line for line in lines)
