"""Examples sorted into those for training and those for evaluation, by what is in them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from bench.training.example import Example, said
from bench.training.split import any_held_out

Parts = tuple[str, ...]

HISTORY = 0.06
"""Which share of examples follows an earlier exchange."""
LONGEST_HISTORY = 400
"""Characters: an earlier exchange is short, or training is spent on reading it."""


@dataclass(frozen=True)
class Drawn:
    """An example, and the combinations in it of which each may be kept out of training."""

    example: Example
    parts: tuple[Parts, ...]

    @property
    def held_out(self) -> bool:
        return any_held_out(self.parts)


Draw = Callable[[Random, float], Drawn]
"""Draws one; the number is the share of names that are made up from syllables."""

MADE_UP = 0.5
"""In training: who has read only known names learns them by heart, and not how to copy."""


def taught(draw: Draw, random: Random, history: float = HISTORY) -> Example:
    """One with nothing in it that is kept out."""
    example = _until(draw, random, MADE_UP, held_out=False)
    return _after_another(draw, random, example, history)


def held_out(draw: Draw, random: Random, history: float = HISTORY) -> Example:
    """One with something in it that is kept out; its names are not made up."""
    example = _until(draw, random, 0.0, held_out=True)
    return _after_another(draw, random, example, history)


def _until(draw: Draw, random: Random, made_up: float, *, held_out: bool) -> Example:
    while True:
        drawn = draw(random, made_up)
        if drawn.held_out is held_out:
            return drawn.example


def _after_another(draw: Draw, random: Random, example: Example, history: float) -> Example:
    """Sometimes the same conversation has had an exchange before this one."""
    if random.random() >= history or example.tools:
        return example
    earlier = _until(draw, random, MADE_UP, held_out=False)
    if sum(len(message["content"]) for message in earlier.messages) > LONGEST_HISTORY:
        return example
    if [m for m in (*earlier.messages, *example.messages) if m["role"] == "system"]:
        return example
    answered = said("assistant", earlier.answer)
    return replace(example, messages=(*earlier.messages, answered, *example.messages))
