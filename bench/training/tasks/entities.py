"""The people, organizations and places that a text names, as JSON.

Each list is in the order in which the names stand in the text, each name written as it stands
there, and all three lists are always there.

Held out: words of names, wholly; and an instruction with a sentence.
"""

import json
from random import Random

from bench.training import drawn
from bench.training.asking import Asking
from bench.training.drawn import Drawn
from bench.training.example import Example
from bench.training.grammar import capital
from bench.training.naming import Naming
from bench.training.words import reports
from bench.training.words.listing import names

NAME = "entities"

ASKING = Asking(
    forms=(
        "Extract the entities: {text}",
        "Extract the named entities: {text}",
        "Extract the entities from this text: {text}",
        "Extract the people, organizations and places as JSON: {text}",
        "List the people, organizations and places in this sentence: {text}",
        "Find the named entities in this sentence: {text}",
        "Which people, organizations and places are named in this text?\n{text}",
        "Named entities: {text}",
        "{text}\nExtract the named entities.",
    ),
    instructions=(
        "Extract the named entities from the user's message as JSON.",
        "You extract people, organizations and places as JSON.",
    ),
)

KINDS = {"P": "people", "O": "organizations", "L": "places"}
MOST = 4
"""Names in one text."""


def taught(random: Random) -> Example:
    return drawn.taught(draw, random)


def held_out(random: Random) -> Example:
    return drawn.held_out(draw, random)


def answer(template: str, given: dict[str, str]) -> str:
    """The names by kind, in the order in which the template names them."""
    slots = sorted(given, key=lambda slot: template.index("{" + slot + "}"))
    found = {kind: [given[s] for s in slots if s[0] == letter] for letter, kind in KINDS.items()}
    return json.dumps(found, ensure_ascii=False)


def draw(random: Random, made_up: float) -> Drawn:
    naming = Naming(random, made_up)
    template = _template(random)
    given = _given(template, naming)
    text = template.format(**given)
    if random.random() < 0.1 and text.endswith("."):
        text = text[:-1]
    form = ASKING.draw(random)
    example = Example(NAME, ASKING.messages(random, form, text), answer(template, given))
    return Drawn(example, (*naming.parts, (NAME, form, template)))


def _template(random: Random) -> str:
    """One sentence or two, some of them with no name."""
    if random.random() < 0.08:
        return nameless(random)
    first = random.choice(reports.NAMED)
    if random.random() < 0.7:
        return first
    second = nameless(random) if random.random() < 0.4 else random.choice(reports.NAMED)
    both = f"{first} {_renamed(second)}" if random.random() < 0.6 else f"{_renamed(second)} {first}"
    return both if both.count("{") <= MOST else first


def nameless(random: Random) -> str:
    """A sentence that names nobody and nothing."""
    subjects, _, predicates = random.choice(reports.NAMELESS).partition(":")
    subject, predicate = random.choice(names(subjects)), random.choice(names(predicates))
    return capital(f"{subject} {predicate}.")


def _renamed(template: str) -> str:
    """The slots of a second sentence are not those of the first."""
    for letter in KINDS:
        template = template.replace(f"{{{letter}2}}", f"{{{letter}4}}")
        template = template.replace(f"{{{letter}}}", f"{{{letter}3}}")
    return template


def _given(template: str, naming: Naming) -> dict[str, str]:
    draws = {"P": naming.person, "O": naming.organization, "L": naming.place}
    slots = [part.partition("}")[0] for part in template.split("{")[1:]]
    return {slot: draws[slot[0]]() for slot in slots}
