"""Sentences that make sense, drawn at random as meanings."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from bench.training.languages.meaning import (
    Action,
    Clause,
    Going,
    Mood,
    Position,
    Presence,
    Quality,
    Search,
    Showing,
    Subject,
    Thing,
    Trade,
    Which,
    Wish,
)
from bench.training.words import verbs
from bench.training.words.adjectives import ADJECTIVES, Adjective
from bench.training.words.nouns import ANIMALS, LANGUAGES, NOUNS, PEOPLE, TRADES, Noun
from bench.training.words.places import GOALS, PLACES, SPOTS, Place
from bench.training.words.pronouns import NAMES, NUMBERS, PRONOUNS, Pronoun
from bench.training.words.times import EVERY_DAY, TIMES
from bench.training.words.verbs import Verb

Pronouns = Sequence[Pronoun]
_MOODS = (Mood.PLAIN, Mood.PLAIN, Mood.PLAIN, Mood.NOT, Mood.ASKED)
_OURS = (Which.MY, Which.YOUR, Which.HIS, Which.HER, Which.OUR)


def compose(random: Random, pronouns: Pronouns = PRONOUNS) -> Clause:
    """A sentence's meaning. English says the pronouns, though others may stand in for theirs."""
    template = random.choices(list(_TEMPLATES), list(_TEMPLATES.values()))[0]
    clause = template(random, pronouns)
    return replace(clause, mood=Mood.PLAIN) if _is_odd(clause) else clause


def _is_odd(clause: Clause) -> bool:
    """Nobody asks what they do themselves, or says that someone "does not work every day"."""
    subject, mood = clause.subject, clause.mood
    if isinstance(subject, Pronoun) and subject.french in ("je", "nous"):
        return mood is Mood.ASKED
    if isinstance(subject, Thing) and subject.which is Which.A and subject.number == 1:
        return mood is not Mood.PLAIN and not isinstance(clause.predicate, Showing | Presence)
    time = getattr(clause.predicate, "time", None)
    return mood is Mood.NOT and time is EVERY_DAY


def _intransitive(random: Random, pronouns: Pronouns) -> Clause:
    verb = random.choice(verbs.INTRANSITIVE)
    going_on = random.random() < 0.5
    place = random.choice(PLACES) if random.random() < 0.3 else None
    time = random.choice(TIMES) if random.random() < 0.3 and not (place or going_on) else None
    action = Action(verb, None, going_on, place, time)
    return Clause(_doer(random, pronouns, verb), action, random.choice(_MOODS))


def _transitive(random: Random, pronouns: Pronouns) -> Clause:
    verb, mood = random.choice(verbs.TRANSITIVE), random.choice(_MOODS)
    going_on = bool(verb.going_on) and random.random() < 0.35
    chance = random.random() if verb.going_on and not going_on else 1.0
    place = random.choice(PLACES) if chance < 0.08 else None
    time = random.choice(TIMES) if 0.08 <= chance < 0.2 else None
    thing = _object(random, verb, mood)
    return Clause(_doer(random, pronouns, verb), Action(verb, thing, going_on, place, time), mood)


def _quality(random: Random, pronouns: Pronouns) -> Clause:
    adjective = random.choice(ADJECTIVES)
    people = adjective.is_feeling or adjective.english in ("clever", "young", "old")
    if people and random.random() < 0.6:
        subject: Subject = _somebody(random, pronouns)
    else:
        subject = _definite(random, random.choice(_described(adjective)), described=False)
    return Clause(subject, Quality(adjective), random.choice(_MOODS))


def _position(random: Random, pronouns: Pronouns) -> Clause:
    if random.random() < 0.4:
        subject: Subject = _somebody(random, pronouns)
    else:
        movable = [noun for noun in NOUNS if "fixed" not in noun.kinds]
        subject = _definite(random, random.choice(movable))
    return Clause(subject, Position(_place_of(random, subject)), random.choice(_MOODS))


def _going(random: Random, pronouns: Pronouns) -> Clause:
    time = random.choice(TIMES) if random.random() < 0.4 else None
    going = Going(random.choice(GOALS), time)
    return Clause(_doer(random, pronouns, verbs.GO), going, random.choice(_MOODS))


def _trade(random: Random, pronouns: Pronouns) -> Clause:
    alone = [one for one in (*pronouns, *NAMES) if not one.plural]
    return Clause(random.choice(alone), Trade(random.choice(TRADES)), random.choice(_MOODS))


def _wish(random: Random, pronouns: Pronouns) -> Clause:
    verb = random.choice(verbs.INTRANSITIVE)
    return Clause(_somebody(random, pronouns), Wish(verb), random.choice(_MOODS))


def _showing(random: Random, _: Pronouns) -> Clause:
    noun = random.choice([noun for noun in NOUNS if not noun.mass])
    which = random.choice((Which.A, *_OURS[:4])) if noun.can_be_owned else Which.A
    mood = random.choice((Mood.PLAIN, Mood.PLAIN, Mood.NOT))
    return Clause(_with_adjective(random, Thing(noun, which), 0.3), Showing(), mood)


def _presence(random: Random, _: Pronouns) -> Clause:
    noun = random.choice([noun for noun in NOUNS if not noun.mass])
    mood = random.choice((Mood.PLAIN, Mood.PLAIN, Mood.NOT))
    several = mood is Mood.PLAIN and random.random() < 0.4
    thing = _several(random, noun) if several else Thing(noun, Which.A)
    return Clause(thing, Presence(_place_of(random, thing)), mood)


def _search(random: Random, _: Pronouns) -> Clause:
    if random.random() < 0.2:
        return Clause(random.choice(NAMES), Search())
    return Clause(_definite(random, random.choice(NOUNS), described=False), Search())


Template = Callable[[Random, Pronouns], Clause]
_TEMPLATES: dict[Template, int] = {
    _intransitive: 22,
    _transitive: 34,
    _quality: 16,
    _position: 8,
    _going: 5,
    _trade: 3,
    _wish: 3,
    _showing: 4,
    _presence: 4,
    _search: 3,
}


def _place_of(random: Random, subject: Subject) -> Place:
    spots = isinstance(subject, Thing) and subject.noun.fits_a_table
    return random.choice(SPOTS if spots and random.random() < 0.5 else PLACES)


def _doer(random: Random, pronouns: Pronouns, verb: Verb) -> Subject:
    if random.random() < 0.45:
        return random.choice((*pronouns, *pronouns, *NAMES))
    noun = random.choice(PEOPLE + ANIMALS if verb.animals else PEOPLE)
    chance = random.random()
    if chance < 0.12:
        return _several(random, noun)
    if chance < 0.22:
        return _with_adjective(random, Thing(noun, Which.A), 0.25)
    return _definite(random, noun)


def _somebody(random: Random, pronouns: Pronouns) -> Subject:
    if random.random() < 0.6:
        return random.choice((*pronouns, *pronouns, *NAMES))
    return _definite(random, random.choice(PEOPLE))


def _definite(random: Random, noun: Noun, *, described: bool = True) -> Thing:
    owned = random.choice(_OURS) if noun.can_be_owned else Which.THE
    which = random.choices((Which.THE, Which.THIS, Which.THAT, owned), (6, 1, 1, 2))[0]
    thing = Thing(noun, which, not noun.mass and random.random() < 0.3)
    return _with_adjective(random, thing, 0.25) if described else thing


def _several(random: Random, noun: Noun) -> Thing:
    return Thing(noun, Which.A, True, random.choice(list(NUMBERS)))


def _object(random: Random, verb: Verb, mood: Mood) -> Thing:
    if verb.objects == ("language",):
        return Thing(random.choice(LANGUAGES), Which.SOME)
    kinds = set(verb.objects)
    noun = random.choice([noun for noun in NOUNS if kinds & set(noun.kinds)])
    return _with_adjective(random, _picked(random, noun, verb, mood), 0.25)


def _picked(random: Random, noun: Noun, verb: Verb, mood: Mood) -> Thing:
    chance = random.random()
    nobody = noun.kind == "person" and mood is Mood.NOT and verb is not verbs.LIKE
    if (chance < 0.2 and verb is not verbs.HAVE) or nobody:
        return Thing(noun, Which.THE, not noun.mass and random.random() < 0.3)
    if chance < 0.3:
        return Thing(noun, random.choice((Which.THIS, Which.THAT)))
    if chance < 0.45 and noun.can_be_owned:
        return Thing(noun, random.choice(_OURS))
    if noun.mass:
        return Thing(noun, Which.SOME)
    if verb is verbs.LIKE or (chance < 0.6 and noun.kind != "person"):
        return Thing(noun, Which.SOME, plural=True)
    if chance < 0.75 and mood is not Mood.NOT:
        return _several(random, noun)
    return Thing(noun, Which.A)


def _described(adjective: Adjective) -> list[Noun]:
    return [noun for noun in NOUNS if set(adjective.kinds) & set(noun.kinds)]


def _with_adjective(random: Random, thing: Thing, chance: float) -> Thing:
    if random.random() >= chance:
        return thing
    fitting = [
        adjective
        for adjective in ADJECTIVES
        if not adjective.is_feeling and set(adjective.kinds) & set(thing.noun.kinds)
    ]
    return replace(thing, adjective=random.choice(fitting)) if fitting else thing
