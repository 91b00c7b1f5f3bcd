"""What is in a sentence that may be kept out of training: words in slots, and combinations."""

from collections.abc import Iterator, Sequence

from bench.training.languages.meaning import (
    Action,
    Clause,
    Going,
    Position,
    Presence,
    Quality,
    Thing,
    Trade,
    Wish,
)

Parts = tuple[str, ...]
_TASK = "translation"
_DOING = (Action, Going, Wish)


def words_in_slots(clause: Clause) -> Sequence[Parts]:
    return [(_TASK, *parts) for parts in _words(clause)]


def combinations(clause: Clause) -> Sequence[Parts]:
    return [(_TASK, *parts) for parts in _pairs(clause)]


def _words(clause: Clause) -> Iterator[Parts]:
    subject, predicate = clause.subject, clause.predicate
    if isinstance(subject, Thing):
        yield _subject_slot(clause), subject.noun.english
    for described in _things(clause):
        if described.adjective:
            yield "attribute", described.adjective.english
    match predicate:
        case Quality(adjective) if not adjective.is_feeling:  # those have no other slot
            yield "quality", adjective.english
        case Action(verb, thing, going_on):
            yield f"{clause.mood.name} {'going on' if going_on else ''}", verb.english
            if thing:
                yield "object", thing.noun.english
        case Wish(verb):
            yield "wish", verb.english


def _subject_slot(clause: Clause) -> str:
    if isinstance(clause.predicate, _DOING):
        return "subject"
    return "described" if isinstance(clause.predicate, Quality) else "placed"


def _things(clause: Clause) -> Iterator[Thing]:
    if isinstance(clause.subject, Thing):
        yield clause.subject
    if isinstance(clause.predicate, Action) and clause.predicate.thing:
        yield clause.predicate.thing


def _pairs(clause: Clause) -> Iterator[Parts]:
    subject = clause.subject
    named = subject.noun.english if isinstance(subject, Thing) else subject.english
    template = type(clause.predicate).__name__
    yield template, clause.mood.name, named, _head(clause)
    for thing in _things(clause):
        if thing.adjective:
            yield thing.adjective.english, thing.noun.english
    if isinstance(clause.predicate, Action) and clause.predicate.thing:
        yield clause.predicate.verb.english, clause.predicate.thing.noun.english


def _head(clause: Clause) -> str:
    """The word that a predicate is about."""
    match clause.predicate:
        case Action(verb) | Wish(verb):
            return verb.english
        case Quality(adjective):
            return adjective.english
        case Position(place) | Going(place) | Presence(place):
            return place.at
        case Trade(noun):
            return noun.english
    return ""
