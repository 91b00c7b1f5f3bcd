"""Sums and differences of numbers up to 99, products up to ten times ten.

The answer is the bare number. Differences below zero are taught of numbers up to 20 alone.

Held out: pairs of numbers for sums and differences; a product with a way of asking, since a product
that is never seen can only be guessed.
"""

from dataclasses import dataclass
from random import Random

from bench.training import drawn
from bench.training.asking import said_by_user
from bench.training.drawn import Drawn
from bench.training.example import Example
from bench.training.words import names

NAME = "arithmetic"

FORMS = (
    "What is {sum}?",
    "what is {sum}",
    "What's {sum}?",
    "{sum}",
    "{sum} =",
    "{sum}?",
    "Calculate {sum}.",
    "Compute {sum}.",
    "How much is {sum}?",
)
WORDS = {
    "+": ("+", "+", "plus"),
    "-": ("-", "-", "minus"),
    "*": ("*", "x", "\N{MULTIPLICATION SIGN}", "times"),
}
TASKS = {
    "+": ("What is the sum of {a} and {b}?", "Add {a} and {b}."),
    "-": ("Subtract {b} from {a}.", "Take {b} away from {a}."),
    "*": ("Multiply {a} by {b}.", "What is the product of {a} and {b}?"),
}
STORIES = {
    "+": (
        "{name} has {a} {things} and buys {b} more. How many {things} does {name} have?",
        "There are {a} {things} in one box and {b} in another. How many {things} are there?",
    ),
    "-": (
        "{name} has {a} {things} and gives away {b}. How many {things} are left?",
        "There were {a} {things}. {name} took {b} of them. How many {things} are left?",
    ),
    "*": (
        "{name} has {a} boxes with {b} {things} each. How many {things} does {name} have?",
        "One box holds {b} {things}. How many {things} do {a} boxes hold?",
    ),
}
COUNTED = ("apples", "books", "coins", "eggs", "pens", "tickets", "cards", "stamps")


@dataclass(frozen=True)
class Calculation:
    a: int
    operator: str
    b: int

    @property
    def result(self) -> int:
        return {"+": self.a + self.b, "-": self.a - self.b, "*": self.a * self.b}[self.operator]


def taught(random: Random) -> Example:
    return drawn.taught(draw, random)


def held_out(random: Random) -> Example:
    return drawn.held_out(draw, random)


def calculation(random: Random) -> Calculation:
    operator = random.choices("+-*", (4, 4, 3))[0]
    if operator == "*":
        return Calculation(random.randint(0, 10), "*", random.randint(0, 10))
    most = 20 if random.random() < 0.3 else 99
    a, b = random.randint(0, most), random.randint(0, most)
    if operator == "-" and a < b and (most > 20 or random.random() < 0.6):
        a, b = b, a
    return Calculation(a, operator, b)


def draw(random: Random, made_up: float) -> Drawn:
    asked = calculation(random)
    form = _form(random, asked)
    text = form.replace("{sum}", _term(random, asked)).format(
        a=asked.a,
        b=asked.b,
        name=random.choice(names.FIRST_NAMES),
        things=random.choice(COUNTED),
    )
    pair = (NAME, asked.operator, str(asked.a), str(asked.b))
    parts = (*pair, form) if asked.operator == "*" else pair
    return Drawn(Example(NAME, said_by_user(random, text), str(asked.result)), (parts,))


def _form(random: Random, asked: Calculation) -> str:
    """Mostly the term itself; now and then in words, or as a story with no ones and noughts."""
    if random.random() < 0.7:
        return random.choice(FORMS)
    if random.random() < 0.6 or min(asked.a, asked.b, asked.result) < 2:
        return random.choice(TASKS[asked.operator])
    return random.choice(STORIES[asked.operator])


def _term(random: Random, asked: Calculation) -> str:
    said = random.choice(WORDS[asked.operator])
    space = "" if len(said) == 1 and random.random() < 0.25 else " "
    return f"{asked.a}{space}{said}{space}{asked.b}"
