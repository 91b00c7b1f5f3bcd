"""Whether a review is positive, negative or neutral.

Rules that are taught: "not" turns a word round ("not good" is negative, "not bad" is positive); of
two clauses against each other the last one decides ("The food was good, but the service was
terrible." is negative); a plain fact, or "okay" and "average", is neutral.

Held out: an adjective or a verb in a slot, a noun in a slot, and an instruction with a slot. Each
word is taught in other slots.
"""

from dataclasses import dataclass
from random import Random

from bench.training import drawn
from bench.training.asking import Asking
from bench.training.drawn import Drawn, Parts
from bench.training.example import Example
from bench.training.grammar import article, capital
from bench.training.words import calendar, opinions

NAME = "sentiment"

ASKING = Asking(
    forms=(
        "What is the sentiment of this review? {text}",
        "What is the sentiment of this text? {text}",
        "Is this review positive, negative or neutral? {text}",
        "Classify the sentiment: {text}",
        "Classify the sentiment of this sentence as positive, negative or neutral: {text}",
        "Sentiment: {text}",
        "Sentiment analysis: {text}",
        "What is the sentiment of the following sentence?\n{text}",
        "{text}\nWhat is the sentiment of this review?",
        "{text}\nIs this positive, negative or neutral?",
    ),
    instructions=(
        "Classify the sentiment of the user's message as positive, negative or neutral.",
        "You classify reviews. Answer with positive, negative or neutral.",
    ),
)

POSITIVE, NEGATIVE, NEUTRAL = "positive", "negative", "neutral"
OPPOSITE = {POSITIVE: NEGATIVE, NEGATIVE: POSITIVE}

# With an adjective; those that begin with "not" turn it round.
STATEMENTS = {
    "is": "the {noun} {is} {adjective}.",
    "was": "the {noun} {was} {adjective}.",
    "very": "the {noun} {was} {very} {adjective}.",
    "this": "{this} {noun} {is} {adjective}.",
    "found": "I found the {noun} {adjective}.",
    "short": "{adjective} {noun}!",
    "it": "it was {adjective}.",
    "it very": "it is {very} {adjective}!",
    "this is": "this is {adjective}.",
    "not was": "the {noun} {was} not {adjective}.",
    "not is": "the {noun} {is} not very {adjective}.",
    "not it": "it was not {adjective}.",
    "not n't": "the {noun} {was}n't {adjective}.",
}
# With an adjective before one thing.
PHRASES = {
    "what a": "what {phrase}!",
    "it is": "it is {phrase}.",
    "had": "we had {phrase}.",
    "such": "it was such {phrase}.",
    "not a": "it was not {phrase}.",
}
MIDDLING = {
    "is": "the {noun} is {word}.",
    "was": "the {noun} was {word}.",
    "this": "this {noun} is {word}.",
}
JOINED = {
    "but": "{first}, but {second}.",
    "however": "{first}. However, {second}.",
    "although": "although {first}, {second}.",
}


@dataclass(frozen=True)
class Clause:
    text: str
    label: str
    parts: tuple[Parts, ...]


def taught(random: Random) -> Example:
    return drawn.taught(draw, random)


def held_out(random: Random) -> Example:
    return drawn.held_out(draw, random)


def draw(random: Random, made_up: float) -> Drawn:
    kind = random.choices(KINDS, SHARES)[0]
    clause = kind(random)
    text = clause.text
    if text.endswith(".") and random.random() < 0.1:
        text = text[:-1] + "!"
    if text.endswith(".") and "\n" not in text and random.random() < 0.1:
        text = text[:-1]
    form = ASKING.draw(random)
    asked = (NAME, "form", form, *clause.parts[0][1:2])
    example = Example(NAME, ASKING.messages(random, form, text), clause.label)
    return Drawn(example, (*clause.parts, asked))


def _statement(random: Random, slot: str, label: str, domain: str) -> Clause:
    """A clause without a capital, about one thing or many."""
    template = STATEMENTS[slot]
    words = opinions.DOMAINS[domain]
    many = random.random() < 0.25
    noun = random.choice(words["many" if many else "one"].split())
    said = OPPOSITE[label] if slot.startswith("not") else label
    adjective = _adjective(random, said, domain)
    text = template.format(
        noun=noun,
        adjective=adjective,
        very=random.choice(("very", "really", "so", "truly")),
        this="these" if many else "this",
        **({"is": "are", "was": "were"} if many else {"is": "is", "was": "was"}),
    )
    return Clause(text, label, _parts(slot, noun, adjective))


def _phrase(random: Random, slot: str, label: str, domain: str) -> Clause:
    """A clause with the adjective before the noun."""
    noun = random.choice(opinions.DOMAINS[domain]["one"].split())
    said = OPPOSITE[label] if slot.startswith("not") else label
    adjective = _adjective(random, said, domain)
    uncounted = noun in {"food", "bread", "acting", "service"}
    phrase = f"{adjective} {noun}" if uncounted else article(f"{adjective} {noun}")
    if uncounted and slot == "what a":
        slot, phrase = "what", f"{adjective} {noun}"
    text = PHRASES.get(slot, "what {phrase}!").format(phrase=phrase)
    return Clause(text, label, _parts(slot, noun, adjective))


def _adjective(random: Random, label: str, domain: str) -> str:
    general = opinions.POSITIVE if label == POSITIVE else opinions.NEGATIVE
    if random.random() < 0.35:
        return random.choice(opinions.DOMAINS[domain][label].split())
    return random.choice(general)


def _parts(slot: str, noun: str, word: str) -> tuple[Parts, ...]:
    return (NAME, slot, word), (NAME, slot, "about", noun)


def _plain(random: Random) -> Clause:
    """One opinion, often followed by a set phrase that agrees."""
    label = random.choice((POSITIVE, NEGATIVE))
    domain = random.choice(list(opinions.DOMAINS))
    if random.random() < 0.7:
        clause = _statement(random, random.choice(list(STATEMENTS)), label, domain)
    else:
        clause = _phrase(random, random.choice(list(PHRASES)), label, domain)
    text = capital(clause.text)
    if random.random() < 0.2:
        text += " " + _set_phrase(random, label)
    return Clause(text, label, clause.parts)


def _contrast(random: Random) -> Clause:
    """Two opinions against each other: the last decides."""
    last = random.choice((POSITIVE, NEGATIVE))
    join = random.choice(list(JOINED))
    return _two(random, OPPOSITE[last], last, join, JOINED[join])


def _agreement(random: Random) -> Clause:
    """Two opinions that agree."""
    label = random.choice((POSITIVE, NEGATIVE))
    join = random.choice(("{first} and {second}.", "{first}. {Second}."))
    return _two(random, label, label, "and", join)


def _two(random: Random, first: str, second: str, slot: str, template: str) -> Clause:
    slots = ["was", "is", "very", "not was", "not n't"]
    domain = random.choice(list(opinions.DOMAINS))
    one = _statement(random, random.choice(slots), first, domain)
    other = _statement(random, random.choice(slots), second, domain)
    while other.parts[1][-1] == one.parts[1][-1]:
        other = _statement(random, random.choice(slots), second, domain)
    clauses = one.text.rstrip("."), other.text.rstrip(".")
    text = template.format(first=clauses[0], second=clauses[1], Second=capital(clauses[1]))
    joined = tuple((*clause.parts[0][:2], slot, clause.parts[0][2]) for clause in (one, other))
    return Clause(capital(text), second, (*one.parts, *other.parts, *joined))


def _feeling(random: Random) -> Clause:
    """What somebody loves, or is disappointed by."""
    label = random.choice((POSITIVE, NEGATIVE))
    noun = random.choice(opinions.WHOLE)
    good = label == POSITIVE
    slot, words, template = random.choice(
        (
            ("liked", opinions.LIKED if good else opinions.DISLIKED, "I {word} the {noun}."),
            ("like", opinions.LIKE if good else opinions.DISLIKE, "I {word} this {noun}."),
            ("we liked", opinions.LIKED if good else opinions.DISLIKED, "We {word} this {noun}!"),
            ("am", opinions.PLEASED if good else opinions.DISPLEASED, "I am {word} the {noun}."),
            ("are", opinions.PLEASED if good else opinions.DISPLEASED, "We are {word} this {noun}"),
        )
    )
    if not good and random.random() < 0.4:
        slot, words, template = random.choice(
            (
                ("did not like", opinions.LIKE, "I did not {word} the {noun}."),
                ("don't like", opinions.LIKE, "I don't {word} this {noun}."),
                ("am not", opinions.PLEASED, "I am not {word} the {noun}."),
            )
        )
    word = random.choice(words)
    return Clause(template.format(word=word, noun=noun), label, _parts(slot, noun, word))


def _phrase_alone(random: Random) -> Clause:
    label = random.choice((POSITIVE, NEGATIVE))
    text = _set_phrase(random, label)
    return Clause(text, label, ((NAME, "set phrase", text),))


def _set_phrase(random: Random, label: str) -> str:
    return random.choice(opinions.PRAISE if label == POSITIVE else opinions.BLAME)


def _fact(random: Random) -> Clause:
    """What says nothing of anybody's liking."""
    text = _filled(random, fact := random.choice(opinions.FACTS))
    if random.random() < 0.15:
        text += " " + _filled(random, random.choice(opinions.FACTS))
    return Clause(text, NEUTRAL, ((NAME, "fact", fact, text),))


def _filled(random: Random, fact: str) -> str:
    return fact.format(
        number=random.choice(calendar.NUMBERS),
        hundred=random.randint(20, 600),
        year=random.randint(1950, 2025),
        color=random.choice(calendar.COLORS),
        day=random.choice(calendar.DAYS),
        month=random.choice(calendar.MONTHS),
        floor=random.choice(calendar.FLOORS),
    )


def _middling(random: Random) -> Clause:
    domain = random.choice(list(opinions.DOMAINS))
    noun = random.choice(opinions.DOMAINS[domain]["one"].split())
    word = random.choice(opinions.NEUTRAL)
    slot = random.choice(list(MIDDLING))
    text = MIDDLING[slot].format(noun=noun, word=word)
    return Clause(capital(text), NEUTRAL, ((NAME, slot, word, noun),))


KINDS = (_plain, _contrast, _agreement, _feeling, _phrase_alone, _fact, _middling)
SHARES = (36, 16, 8, 14, 3, 17, 6)
