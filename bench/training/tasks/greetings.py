"""Small talk, and questions about the model and about Sluice.

Held out is the last way to ask for each answer; all the others are taught.
"""

from collections.abc import Mapping, Sequence
from random import Random

from bench.training.example import HELPFUL, Example, Message, said
from bench.training.typed import carelessly
from bench.training.words.about_me import ABOUT_ME
from bench.training.words.about_sluice import ABOUT_SLUICE
from bench.training.words.small_talk import HELLO, SMALL_TALK

NAME = "greetings"
ANSWERS: Mapping[str, Sequence[str]] = {**SMALL_TALK, **ABOUT_ME, **ABOUT_SLUICE}
SYSTEM = (
    HELPFUL,
    "You are a helpful assistant of Sluice.",
    "Answer the user's questions.",
)


def taught(random: Random) -> Example:
    answer = random.choice(list(ANSWERS))
    return _example(random, random.choice(ANSWERS[answer][:-1]), answer)


def held_out(random: Random) -> Example:
    answer = random.choice(list(ANSWERS))
    return _example(random, ANSWERS[answer][-1], answer)


def _example(random: Random, asked: str, answer: str) -> Example:
    messages = (*_before(random, asked), said("user", carelessly(random, asked)))
    return Example(NAME, messages, answer)


def _before(random: Random, asked: str) -> tuple[Message, ...]:
    """Nothing, a system message, or a greeting that was answered."""
    chance = random.random()
    if chance < 0.15:
        return (said("system", random.choice(SYSTEM)),)
    if chance < 0.25 and asked not in SMALL_TALK[HELLO]:
        greeting = carelessly(random, random.choice(SMALL_TALK[HELLO][:-1]))
        return (said("user", greeting), said("assistant", HELLO))
    return ()
