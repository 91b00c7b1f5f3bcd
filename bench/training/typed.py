"""What people type, with the capitals and marks that people leave out."""

from random import Random

from bench.training.grammar import small


def carelessly(random: Random, asked: str) -> str:
    """As people type: without capitals, with another mark at the end or none."""
    chance = random.random()
    if chance < 0.12:
        asked = asked.lower()
    elif chance < 0.2:
        asked = small(asked)
    elif chance < 0.23:
        asked = asked.upper()
    mark = random.random()
    if asked[-1] == "?":
        return asked[:-1] if mark < 0.2 else asked
    if asked[-1].isalpha() and asked.isascii():
        return asked + ("." if mark < 0.25 else "!" if mark < 0.4 else "")
    return asked
