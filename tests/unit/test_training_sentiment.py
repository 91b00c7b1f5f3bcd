"""Sentiment: what the rules of the task say of a text."""

import re
from random import Random

import pytest

from bench.training.example import Example
from bench.training.tasks import sentiment
from bench.training.words import opinions

PRAISE = {
    *opinions.POSITIVE,
    *(word for domain in opinions.DOMAINS.values() for word in domain["positive"].split()),
}


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    random = Random(1)
    return [sentiment.taught(random) for _ in range(3_000)]


def text(example: Example) -> str:
    return example.messages[-1]["content"]


def test_each_label_is_given_often(examples: list[Example]) -> None:
    labels = [example.answer for example in examples]
    assert set(labels) == {"positive", "negative", "neutral"}
    assert all(labels.count(label) > 500 for label in set(labels))


def test_a_negation_turns_the_word_round(examples: list[Example]) -> None:
    turned = [example for example in examples if re.search(r" not good[.!]?\"?$", text(example))]
    assert turned
    assert {example.answer for example in turned} == {"negative"}


def test_the_last_of_two_clauses_decides(examples: list[Example]) -> None:
    contrasts = [example for example in examples if ", but the" in text(example)]
    assert len(contrasts) > 50
    for example in contrasts:
        last = text(example).partition(", but the")[2].partition("\n")[0]
        word = last.rstrip('."!').split()[-1]
        good = word in PRAISE
        turned = " not " in last or "n't " in last
        assert example.answer == ("positive" if good is not turned else "negative")


def test_no_word_is_both_praise_and_blame() -> None:
    assert not set(opinions.POSITIVE) & set(opinions.NEGATIVE)
