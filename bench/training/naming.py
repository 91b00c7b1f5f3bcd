"""Names for people, places and organizations: from lists, or made up of syllables and pieces.

What is read in training is half made up, so that names are learnt as something to copy. Every word
of a name is a part that may be kept out of training, whatever the task.
"""

from collections.abc import Sequence
from random import Random

from bench.training.drawn import Parts
from bench.training.split import is_held_out
from bench.training.words import names
from bench.training.words.listing import words

ONSETS = words(
    "b c d f g h j k l m n p r s t v w z br ch cl cr dr fl gr kl kr pr sh sk st th tr vl"
)
VOWELS = words("a e i o u a e i o u ai ea ia io ou ei")
CODAS = [*[""] * 20, *words("l m n r s t x k d l m n r s nd rt sk ck")]
ENDINGS = words("ville ton berg stad mouth field burg grad ia ona")


def made_up(random: Random, ending: str = "") -> str:
    """A word of one to three syllables, with a capital."""
    count = 2 if ending else random.choices((1, 2, 3), (1, 7, 3))[0]
    syllables = (
        random.choice(ONSETS) + random.choice(VOWELS) + random.choice(CODAS) for _ in range(count)
    )
    return ("".join(syllables) + ending).capitalize()


def spliced(random: Random, kind: str, listed: Sequence[str]) -> str:
    """The head of one name and the tail of another, neither of them kept out of training."""
    head = _taught(random, kind, listed).split()[0][: random.randint(2, 4)]
    return head + _taught(random, kind, listed).split()[-1][-random.randint(2, 4) :].lower()


def _taught(random: Random, kind: str, listed: Sequence[str]) -> str:
    while is_held_out(kind, name := random.choice(listed)):
        pass
    return name


class Naming:
    """Draws names, none twice, and keeps what may be held out of them."""

    def __init__(self, random: Random, share_made_up: float) -> None:
        self._random = random
        self._share_made_up = share_made_up
        self._drawn: set[str] = set()
        self.parts: list[Parts] = []

    def made_up(self) -> bool:
        """Whether the next name is to be one that nobody has."""
        return self._random.random() < self._share_made_up

    def first_name(self) -> str:
        return self._new("person", names.FIRST_NAMES)

    def person(self) -> str:
        """A first name, or a first name and a surname."""
        if self._random.random() < 0.5:
            return self.first_name()
        return f"{self.first_name()} {self._new('person', names.SURNAMES)}"

    def place(self) -> str:
        """A city, now and then a country."""
        if self._random.random() < 0.8:
            return self.city()
        return self._new("place", names.COUNTRIES)

    def city(self) -> str:
        ending = self._random.choice(ENDINGS) if self._random.random() < 0.3 else ""
        return self._new("place", names.CITIES, ending)

    def organization(self) -> str:
        """A word, often with what tells that it is an organization."""
        name = self._new("organization", names.COMPANIES)
        if self._random.random() < 0.45:
            return name
        return f"{name} {self._random.choice(names.SUFFIXES)}"

    def _new(self, kind: str, listed: Sequence[str], ending: str = "") -> str:
        while True:
            name = self._draw(kind, listed, ending)
            if name not in self._drawn:
                self._drawn.add(name)
                self.parts.append((kind, name))
                return name

    def _draw(self, kind: str, listed: Sequence[str], ending: str) -> str:
        if not self.made_up():
            return self._random.choice(listed)
        if self._random.random() < 0.4:
            return spliced(self._random, kind, listed)
        return made_up(self._random, ending)
