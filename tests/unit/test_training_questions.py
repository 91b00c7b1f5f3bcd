"""Questions about a paragraph: the answer is a span of it, or that it is not there."""

import re
from random import Random

import pytest

from bench.training.example import UNKNOWN, Example
from bench.training.split import is_held_out
from bench.training.tasks import questions
from bench.training.words import calendar, facts


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    random = Random(1)
    return [questions.taught(random) for _ in range(2_000)]


def text(example: Example) -> str:
    """All that was said."""
    return "\n".join(message["content"] for message in example.messages)


def exchanges(examples: list[Example]) -> list[tuple[str, str]]:
    """What the user said and what the assistant did, of all turns."""
    found: list[tuple[str, str]] = []
    for example in examples:
        said = [m["content"] for m in example.messages if m["role"] != "system"]
        found += zip(said[::2], [*said[1::2], example.answer], strict=True)
    return found


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
    asked = [pair for pair in exchanges(examples) if re.search(r"'s car\?", pair[0])]
    assert not {answer for _, answer in asked} & set(kept)
    assert {example.answer for example in examples} > set(kept)


def test_no_question_of_a_text_is_asked_twice(examples: list[Example]) -> None:
    lengths = {len(example.messages) for example in examples}
    assert {1, 3, 5, 7, 9} < lengths
    for example in examples:
        first, *later = [m["content"] for m in example.messages if m["role"] == "user"]
        assert len(set(later)) == len(later)
        assert not [question for question in later if question in first]


def test_nothing_is_taught_in_an_earlier_question_that_is_kept_out(
    examples: list[Example],
) -> None:
    for kind in (*facts.PEOPLE, *facts.COMPANIES):
        for template in kind.questions:
            if is_held_out(questions.NAME, "after", template):
                asked = re.compile(re.escape(template).replace(r"\{who\}", ".*"))
                for example in examples:
                    later = [m["content"] for m in example.messages[2:] if m["role"] == "user"]
                    assert not [question for question in later if asked.fullmatch(question)]


def test_few_of_those_held_out_have_had_a_question_before() -> None:
    random = Random(2)
    held_out = [questions.held_out(random) for _ in range(300)]
    assert 0.03 < sum(len(example.messages) > 2 for example in held_out) / 300 < 0.2


def test_the_same_value_is_never_told_twice(examples: list[Example]) -> None:
    for example in examples:
        if example.answer.isdigit():
            assert text(example).split().count(f"{example.answer}.") <= 1


def test_grammar_minds_the_vowel(examples: list[Example]) -> None:
    assert not any(" a orange" in text(example) for example in examples)
