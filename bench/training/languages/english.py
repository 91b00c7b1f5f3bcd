"""Meanings said in English."""

from bench.training.languages.meaning import (
    Action,
    Clause,
    Going,
    Mood,
    Position,
    Predicate,
    Presence,
    Quality,
    Search,
    Showing,
    Subject,
    Thing,
    Trade,
    Which,
    Wish,
    closed,
    is_plural,
    person,
)
from bench.training.words import verbs
from bench.training.words.pronouns import NUMBERS
from bench.training.words.verbs import Verb

_BE = ("am", "are", "is", "are", "are", "are")
_THIRD = 2


def say(clause: Clause) -> str:
    subject, mood = clause.subject, clause.mood
    match clause.predicate:
        case Search():
            return closed(f"where {_BE[person(subject)]} {said(subject)}", "?")
        case Showing():
            words = f"this is {'not ' * (mood is Mood.NOT)}{said(subject)}"
            return closed(words, ".")
        case Presence(place):
            return closed(f"there {_presence(subject, mood)} {place.at}", ".")
        case Action(verb, _, going_on) if not going_on:
            words = _done(subject, verb, _rest(clause.predicate), mood)
        case Going(_, _):
            words = _done(subject, verbs.GO, _rest(clause.predicate), mood)
        case Wish(_):
            words = _done(subject, verbs.WANT, _rest(clause.predicate), mood)
        case _:
            words = _being(subject, _rest(clause.predicate), mood)
    return closed(words, "?" if mood is Mood.ASKED else ".")


def said(subject: Subject) -> str:
    if not isinstance(subject, Thing):
        return subject.english
    noun = subject.noun.english_plural if subject.plural else subject.noun.english
    if subject.adjective:
        noun = f"{subject.adjective.english} {noun}"
    return f"{_picked(subject, noun)} {noun}".strip()


def _picked(thing: Thing, behind: str) -> str:
    if thing.number > 1:
        return NUMBERS[thing.number][0]
    match thing.which:
        case Which.A:
            return "an" if behind[0] in "aeiou" else "a"
        case Which.SOME:
            return ""
        case Which.THIS:
            return "these" if thing.plural else "this"
        case Which.THAT:
            return "those" if thing.plural else "that"
        case which:
            return which.name.lower()


def _rest(predicate: Predicate) -> str:
    """What stands behind the conjugated verb."""
    match predicate:
        case Action(verb, thing, going_on, place, time):
            parts = (
                verb.going_on if going_on else "",
                said(thing) if thing else "",
                place.at if place else "",
                time.english if time else "",
            )
            return " ".join(part for part in parts if part)
        case Going(place, time):
            return f"{place.to} {time.english if time else ''}".strip()
        case Wish(verb):
            return f"to {verb.english}"
        case Quality(adjective):
            return adjective.english
        case Position(place):
            return place.at
        case Trade(noun):
            return f"a {noun.english}"
    raise ValueError(predicate)


def _done(subject: Subject, verb: Verb, rest: str, mood: Mood) -> str:
    third = person(subject) == _THIRD
    do = "does" if third else "do"
    words = {
        Mood.PLAIN: f"{said(subject)} {verb.third if third else verb.english} {rest}",
        Mood.NOT: f"{said(subject)} {do} not {verb.english} {rest}",
        Mood.ASKED: f"{do} {said(subject)} {verb.english} {rest}",
    }
    return words[mood].strip()


def _being(subject: Subject, rest: str, mood: Mood) -> str:
    be = _BE[person(subject)]
    if mood is Mood.ASKED:
        return f"{be} {said(subject)} {rest}"
    return f"{said(subject)} {be} {'not ' * (mood is Mood.NOT)}{rest}"


def _presence(subject: Subject, mood: Mood) -> str:
    if mood is Mood.NOT:
        return f"is no {said(subject).split(' ', 1)[1]}"
    return f"{'are' if is_plural(subject) else 'is'} {said(subject)}"


_SHORT = (
    ("does not ", "doesn't "),
    ("do not ", "don't "),
    ("is not ", "isn't "),
    ("are not ", "aren't "),
    ("I am ", "I'm "),
    ("He is ", "He's "),
    ("She is ", "She's "),
    ("We are ", "We're "),
    ("They are ", "They're "),
    ("You are ", "You're "),
)


def contracted(sentence: str) -> str:
    """As one says it: "doesn't" for "does not"."""
    for long, short in _SHORT:
        if long in sentence:
            return sentence.replace(long, short)
    return sentence
