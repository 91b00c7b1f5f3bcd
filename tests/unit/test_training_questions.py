"""Questions about a paragraph: the answer is a span of it, or that it is not there."""

import re
from random import Random

import pytest

from bench.training.example import UNKNOWN, Example
from bench.training.split import is_held_out
from bench.training.tasks import questions
from bench.training.words import calendar


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    random = Random(1)
    return [questions.taught(random) for _ in range(2_000)]


def text(example: Example) -> str:
    """All that was said."""
    return "\n".join(message["content"] for message in example.messages)


def test_the_answer_stands_in_the_paragraph(examples: list[Example]) -> None:
    for example in examples:
        if example.answer != UNKNOWN:
            # At the beginning of a sentence a thing has a capital.
            assert example.answer.lower() in text(example).lower()


def test_now_and_then_the_paragraph_does_not_say(examples: list[Example]) -> None:
    unknown = [example for example in examples if example.answer == UNKNOWN]
    assert 0.08 < len(unknown) / len(examples) < 0.15


def test_a_value_that_is_kept_out_with_a_question_is_taught_with_others(
    examples: list[Example],
) -> None:
    question = "What color is {whose} car?"
    kept = [c for c in calendar.COLORS if is_held_out("questions", "car", question, c)]
    assert kept
    asked = [e for e in examples if re.search(r"'s car\?", e.messages[-1]["content"])]
    assert not {example.answer for example in asked} & set(kept)
    assert {example.answer for example in examples} > set(kept)


def test_a_second_question_is_another_one(examples: list[Example]) -> None:
    after = [example for example in examples if len(example.messages) > 2]
    assert after
    for example in after:
        assert example.messages[-1]["content"] not in example.messages[-3]["content"]


def test_the_same_value_is_never_told_twice(examples: list[Example]) -> None:
    for example in examples:
        if example.answer.isdigit():
            assert text(example).split().count(f"{example.answer}.") <= 1


def test_grammar_minds_the_vowel(examples: list[Example]) -> None:
    assert not any(" a orange" in text(example) for example in examples)
