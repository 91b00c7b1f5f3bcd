"""How a task is asked for: a form of words round a text, or a system message before it."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from bench.training.example import HELPFUL, Message, said
from bench.training.grammar import small


@dataclass(frozen=True)
class Asking:
    """Forms hold `{text}`; instructions stand alone, with the text as the user's message."""

    forms: Sequence[str]
    instructions: Sequence[str] = ()

    def draw(self, random: Random) -> str:
        """One of the forms, or of the instructions."""
        return random.choice((*self.forms, *self.instructions))

    def messages(self, random: Random, form: str, text: str) -> tuple[Message, ...]:
        """The text asked about, as people write: some in quotes, some without a capital."""
        if form in self.instructions:
            return said("system", form), said("user", text)
        if form.endswith("{text}") and random.random() < 0.15:
            text = f'"{text}"'
        asked = form.replace("{text}", text)
        if not form.startswith("{text}") and random.random() < 0.15:
            asked = small(asked)
        return (*helpful(random), said("user", asked))


def helpful(random: Random) -> tuple[Message, ...]:
    """Now and then the system message that says nothing."""
    return (said("system", HELPFUL),) if random.random() < 0.15 else ()


def said_by_user(random: Random, text: str) -> tuple[Message, ...]:
    """The text as it stands."""
    return (*helpful(random), said("user", text))
