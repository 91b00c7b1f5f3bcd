"""How a task is asked for: a form of words round a text, or a system message before it."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from bench.training.example import Message

HELPFUL = "You are a helpful assistant."


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
            return _said("system", form), _said("user", text)
        if form.endswith("{text}") and random.random() < 0.15:
            text = f'"{text}"'
        asked = form.replace("{text}", text)
        if not form.startswith("{text}") and random.random() < 0.15:
            asked = asked[0].lower() + asked[1:]
        return (*helpful(random), _said("user", asked))


def helpful(random: Random) -> tuple[Message, ...]:
    """The system message that clients send when they have nothing to say in it."""
    return (_said("system", HELPFUL),) if random.random() < 0.15 else ()


def said_by_user(random: Random, text: str) -> tuple[Message, ...]:
    """The text as it stands."""
    return (*helpful(random), _said("user", text))


def _said(role: str, content: str) -> Message:
    return {"role": role, "content": content}
