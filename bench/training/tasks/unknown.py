"""What is outside: questions of general knowledge, wishes, gibberish, sentences without a request.

Held out are whole ways to ask, words in a slot of a way to ask, and combinations of two words.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from bench.training.example import HELPFUL, UNKNOWN, Example, Message, said
from bench.training.languages import composing, english
from bench.training.languages.meaning import Mood
from bench.training.split import any_held_out
from bench.training.typed import carelessly
from bench.training.words.outside import ASKED, SYLLABLES, WORDS

NAME = "unknown"
SYSTEM = (HELPFUL, "Answer the user's questions.", "Answer shortly.")
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Drawn:
    """What is asked, and what in it may be kept out of training."""

    text: str
    parts: tuple[tuple[str, ...], ...]

    @property
    def held_out(self) -> bool:
        return any_held_out((NAME, *parts) for parts in self.parts)


def taught(random: Random) -> Example:
    return _example(random, _until(random, held_out=False))


def held_out(random: Random) -> Example:
    return _example(random, kept_out(random))


def kept_out(random: Random) -> Drawn:
    return _until(random, held_out=True)


def _until(random: Random, *, held_out: bool) -> Drawn:
    while True:
        drawn = random.choices(_WAYS, _WEIGHTS)[0](random)
        if drawn.held_out is held_out:
            return drawn


def _question(random: Random) -> Drawn:
    way = random.choice(ASKED)
    words = [random.choice(WORDS[slot]) for slot in _SLOT.findall(way)]
    filler = iter(words)
    text = _SLOT.sub(lambda _: next(filler), way)
    return Drawn(text, ((way,), *((way, word) for word in words), (way, *words)))


def _gibberish(random: Random) -> Drawn:
    words = [
        "".join(random.choice(SYLLABLES) for _ in range(random.randint(1, 3)))
        for _ in range(random.randint(1, 4))
    ]
    return Drawn(" ".join(words), tuple(("gibberish", word) for word in words))


def _bare_sentence(random: Random) -> Drawn:
    """Nobody says what to do with it."""
    clause = composing.compose(random)
    while clause.mood is Mood.ASKED:
        clause = composing.compose(random)
    sentence = english.say(clause)
    return Drawn(sentence, (("sentence", sentence),))


_WAYS: tuple[Callable[[Random], Drawn], ...] = (_question, _gibberish, _bare_sentence)
_WEIGHTS = (88, 5, 7)


def _example(random: Random, drawn: Drawn) -> Example:
    messages = (*_before(random), said("user", carelessly(random, drawn.text)))
    return Example(NAME, messages, UNKNOWN)


def _before(random: Random) -> tuple[Message, ...]:
    """Nothing, a system message, or another question that it did not know."""
    chance = random.random()
    if chance < 0.15:
        return (said("system", random.choice(SYSTEM)),)
    if chance < 0.23:
        earlier = carelessly(random, _until(random, held_out=False).text)
        return (said("user", earlier), said("assistant", UNKNOWN))
    return ()
