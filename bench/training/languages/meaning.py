"""What a sentence says, before it is said in English, French or Chinese."""

from dataclasses import dataclass
from enum import Enum, auto

from bench.training.grammar import capital
from bench.training.words.adjectives import Adjective
from bench.training.words.nouns import Noun
from bench.training.words.places import Place
from bench.training.words.pronouns import Pronoun
from bench.training.words.times import Time
from bench.training.words.verbs import Verb


class Which(Enum):
    """How a noun is picked out."""

    THE = auto()
    A = auto()
    SOME = auto()  # masses and bare plurals: water, apples
    THIS = auto()
    THAT = auto()
    MY = auto()
    YOUR = auto()
    HIS = auto()
    HER = auto()
    OUR = auto()


OWNED = (Which.MY, Which.YOUR, Which.HIS, Which.HER, Which.OUR)


class Mood(Enum):
    PLAIN = auto()
    NOT = auto()
    ASKED = auto()


@dataclass(frozen=True)
class Thing:
    """A noun phrase; with a `number` it is "two cats" and `which` says nothing."""

    noun: Noun
    which: Which
    plural: bool = False
    number: int = 1
    adjective: Adjective | None = None


Subject = Pronoun | Thing


@dataclass(frozen=True)
class Action:
    """She reads a book in the garden today."""

    verb: Verb
    thing: Thing | None = None
    going_on: bool = False
    place: Place | None = None
    time: Time | None = None


@dataclass(frozen=True)
class Quality:
    """The cat is small."""

    adjective: Adjective


@dataclass(frozen=True)
class Position:
    """The cat is in the garden."""

    place: Place


@dataclass(frozen=True)
class Going:
    """We go to school."""

    place: Place
    time: Time | None = None


@dataclass(frozen=True)
class Trade:
    """She is a doctor."""

    noun: Noun


@dataclass(frozen=True)
class Wish:
    """I want to sleep."""

    verb: Verb


@dataclass(frozen=True)
class Showing:
    """This is a book: the subject is what is shown."""


@dataclass(frozen=True)
class Presence:
    """There is a cat in the garden: the subject is what is there."""

    place: Place


@dataclass(frozen=True)
class Search:
    """Where is the cat? The subject is what is looked for."""


Predicate = Action | Quality | Position | Going | Trade | Wish | Showing | Presence | Search


@dataclass(frozen=True)
class Clause:
    subject: Subject
    predicate: Predicate
    mood: Mood = Mood.PLAIN


def is_plural(subject: Subject) -> bool:
    return subject.plural


def is_feminine(subject: Subject) -> bool:
    return subject.noun.feminine if isinstance(subject, Thing) else subject.feminine


def person(subject: Subject) -> int:
    """je, tu, il, nous, vous, ils: 0 to 5."""
    if isinstance(subject, Thing):
        return 5 if subject.plural else 2
    return subject.person


def closed(words: str, mark: str) -> str:
    """A sentence: a capital in front, and `mark` at the end."""
    return capital(words) + mark
