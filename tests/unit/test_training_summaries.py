"""Summaries: one sentence of the text, wherever it stands."""

from random import Random

import pytest

from bench.training.example import Example
from bench.training.tasks import summaries
from bench.training.words import news


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    random = Random(1)
    return [summaries.taught(random) for _ in range(2_000)]


def text(example: Example) -> str:
    return example.messages[-1]["content"]


def test_the_summary_is_one_sentence_of_the_text(examples: list[Example]) -> None:
    for example in examples:
        assert example.answer in text(example)
        assert example.answer.count(".") == 1


def test_the_sentence_may_stand_first_or_last(examples: list[Example]) -> None:
    first = [example for example in examples if text(example).startswith(example.answer)]
    last = [example for example in examples if text(example).endswith(example.answer)]
    assert len(first) > 50
    assert len(last) > 200


def test_no_detail_says_that_anything_was_decided() -> None:
    details = [*news.RESULT_DETAILS, *(line for story in news.STORIES for line in story.details)]
    marks = (" will ", " has ", "plans to", "going to", "announced", "wants to", " was elected")
    said = [detail for detail in details for mark in marks if mark in detail]
    # Those that a reader of single words would take for news.
    assert said == [
        "The building has room for {number} thousand books.",
        "The reading room has {number} large windows.",
        "The hall has {number} hundred seats.",
    ]
