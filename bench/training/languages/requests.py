"""How people ask for a translation."""

from random import Random

from bench.training.example import HELPFUL, Message, said
from bench.training.grammar import small

FORMS = (
    "Translate to {to}: {text}",
    "Translate into {to}: {text}",
    "Translate this sentence to {to}: {text}",
    "Translate this sentence from {source} to {to}: {text}",
    "Translate from {source} to {to}: {text}",
    "{source} to {to}: {text}",
    "Translate {quoted} to {to}.",
    "Translate {quoted} into {to}.",
    "How do you say {quoted} in {to}?",
    "What is {quoted} in {to}?",
)
INSTRUCTIONS = (
    "Translate to {to}.",
    "Translate the user's message into {to}.",
    "You translate {source} to {to}.",
    "You are a translator from {source} to {to}.",
)
_ROUGH = 0.12


def request(random: Random, source: str, to: str, text: str) -> tuple[str, tuple[Message, ...]]:
    """The form that was taken, and the messages; some users are careless about case and stops."""
    form = random.choice(FORMS + INSTRUCTIONS)
    if form in INSTRUCTIONS:
        system = form.format(source=source, to=to)
        return form, (said("system", system), said("user", _careless(random, text)))
    texts = {"text": _text(random, text), "quoted": _quoted(random, text)}
    asked = form.format(source=source, to=to, **texts)
    if random.random() < _ROUGH and asked.startswith("Translate"):
        asked = f"Please t{asked[1:]}"
    if random.random() < _ROUGH:
        asked = small(asked)
    helpful = (said("system", HELPFUL),) if random.random() < _ROUGH else ()
    return form, (*helpful, said("user", asked))


def _text(random: Random, text: str) -> str:
    return f'"{text}"' if random.random() < _ROUGH else _careless(random, text)


def _quoted(random: Random, text: str) -> str:
    inside = text[:-1].strip() if random.random() < 0.6 and text[-1] in ".。" else text
    inside = _careless(random, inside)
    single = "'" not in inside and random.random() < 0.4
    return f"'{inside}'" if single else f'"{inside}"'


def _careless(random: Random, text: str) -> str:
    """Without the full stop, without the capital, or without the space before a French mark."""
    if random.random() < _ROUGH and text[-1] in ".。":
        text = text[:-1]
    if random.random() < _ROUGH / 2 and text[:2] not in ("I ", "I'"):
        text = small(text)
    return text.replace(" ?", "?") if random.random() < 0.4 else text
