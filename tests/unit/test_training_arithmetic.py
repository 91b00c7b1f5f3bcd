"""Arithmetic: the answer is what Python says."""

import re
from random import Random

import pytest

from bench.training.example import Example
from bench.training.split import is_held_out
from bench.training.tasks import arithmetic

TIMES = "\N{MULTIPLICATION SIGN}"
TERM = re.compile(rf"(\d+) ?(\+|plus|-|minus|\*|x|{TIMES}|times) ?(\d+)")
PYTHON = {"plus": "+", "minus": "-", "x": "*", TIMES: "*", "times": "*"}


def terms(examples: list[Example]) -> list[tuple[int, str, int, int]]:
    """Those with a term in signs or words: both numbers, the sign and the answer."""
    found = [(TERM.search(example.messages[-1]["content"]), example) for example in examples]
    return [
        (int(term[1]), PYTHON.get(term[2], term[2]), int(term[3]), int(example.answer))
        for term, example in found
        if term
    ]


@pytest.fixture(scope="module")
def taught() -> list[Example]:
    random = Random(1)
    return [arithmetic.taught(random) for _ in range(3_000)]


def test_answers_are_right(taught: list[Example]) -> None:
    seen = terms(taught)
    assert len(seen) > 1_500
    for a, operator, b, answer in seen:
        assert answer == {"+": a + b, "-": a - b, "*": a * b}[operator]


def test_pairs_that_are_kept_out_are_never_taught(taught: list[Example]) -> None:
    for a, operator, b, _ in terms(taught):
        assert operator == "*" or not is_held_out("arithmetic", operator, str(a), str(b))


def test_every_product_is_taught_in_some_way() -> None:
    random = Random(2)
    seen = terms([arithmetic.taught(random) for _ in range(10_000)])
    assert {(a, b) for a, operator, b, _ in seen if operator == "*"} == {
        (a, b) for a in range(11) for b in range(11)
    }
