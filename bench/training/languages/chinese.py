"""Meanings said in Chinese, and which of them come back from it.

Chinese has no articles, and plurals only of people. One translates back by these rules:
a bare subject is "the cat"; with 们 it is "the children"; 一 and a measure word are "a";
这 and 那 are "this" and "that"; a bare object is a mass or a bare plural ("apples"), behind
没有 "a car". 在 before a verb is "is sleeping", and without it one says "sleeps".
"""

from bench.training.languages.meaning import (
    OWNED,
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
)
from bench.training.words import verbs
from bench.training.words.adjectives import OLD_OF_THE_LIVING, Adjective
from bench.training.words.pronouns import NUMBERS

_OWNERS = {
    Which.MY: "我的",
    Which.YOUR: "你的",
    Which.HIS: "他的",
    Which.HER: "她的",
    Which.OUR: "我们的",
}


def comes_back(clause: Clause) -> bool:
    """Whether the English of this clause is what its Chinese is translated to."""
    predicate = clause.predicate
    if isinstance(clause.subject, Thing) and _hides_plural(clause.subject):
        return False
    if not isinstance(predicate, Action):
        return True
    if predicate.going_on and predicate.place:
        return False
    return not predicate.thing or _object_comes_back(predicate, predicate.thing, clause.mood)


def _object_comes_back(action: Action, thing: Thing, mood: Mood) -> bool:
    if thing.number > 1:
        return True
    if _hides_plural(thing) or thing.which is Which.THE:
        return False
    owns_none = action.verb is verbs.HAVE and mood is Mood.NOT
    if thing.which is Which.A:
        return mood is not Mood.NOT or owns_none
    return not (owns_none and thing.plural and thing.which is Which.SOME)


def _hides_plural(thing: Thing) -> bool:
    kept = thing.number > 1 or thing.noun.kind == "person"
    return thing.plural and not kept and (thing.which in OWNED or thing.which is Which.THE)


def say(clause: Clause) -> str:
    subject, mood = clause.subject, clause.mood
    match clause.predicate:
        case Search():
            return f"{said(subject)}在哪里？"
        case Showing():
            return f"这{'不' * (mood is Mood.NOT)}是{said(subject)}。"
        case Presence(place):
            assert isinstance(subject, Thing)
            there = f"没有{_named(subject)}" if mood is Mood.NOT else f"有{said(subject)}"
            return f"{place.chinese_at}{there}。"
    time = getattr(clause.predicate, "time", None)
    words = said(subject) + (time.chinese if time else "")
    words += _said_of(clause.predicate, subject, mood)
    return words + ("吗？" if mood is Mood.ASKED else "。")


def said(subject: Subject) -> str:
    """As a subject, where a bare noun is "the"."""
    if not isinstance(subject, Thing):
        return subject.chinese
    noun = _named(subject)
    many = "们" if subject.plural and subject.noun.kind == "person" else ""
    if subject.number > 1:
        return f"{NUMBERS[subject.number][2]}{subject.noun.measure}{noun}"
    match subject.which:
        case Which.A:
            return f"一{subject.noun.measure}{noun}"
        case Which.THIS | Which.THAT as which:
            measure = "些" if subject.plural or subject.noun.mass else subject.noun.measure
            return f"{'这' if which is Which.THIS else '那'}{measure}{noun}"
        case which if which in OWNED:
            return _OWNERS[which] + noun + many
        case _:
            return noun + many


def _named(thing: Thing) -> str:
    if not thing.adjective:
        return thing.noun.chinese
    return _old(thing.adjective, thing.adjective.chinese, thing) + thing.noun.chinese


def _old(adjective: Adjective, word: str, said_of: Subject) -> str:
    living = not isinstance(said_of, Thing) or said_of.noun.kind in ("animal", "person")
    return OLD_OF_THE_LIVING if adjective.english == "old" and living else word


def _object(thing: Thing, mood: Mood) -> str:
    if thing.number > 1 or thing.noun.mass:
        return said(thing) if thing.which is not Which.THE else _named(thing)
    if thing.which is Which.THE:
        return said(Thing(thing.noun, Which.THAT, thing.plural, adjective=thing.adjective))
    if thing.which is Which.SOME or (thing.which is Which.A and mood is Mood.NOT):
        return _named(thing)
    return said(thing)


def _said_of(predicate: Predicate, subject: Subject, mood: Mood) -> str:
    no = "不" if mood is Mood.NOT else ""
    match predicate:
        case Action():
            return _done(predicate, mood)
        case Quality(adjective):
            word = _old(adjective, adjective.predicate, subject)
            if adjective.is_colour:
                return f"{no}是{word}"
            return f"{no or '很' * (mood is Mood.PLAIN)}{word}"
        case Position(place):
            return f"{no}在{place.chinese_at}"
        case Going(place):
            return f"{no}去{place.chinese_to}"
        case Trade(noun):
            return f"{no}是{noun.chinese}"
        case Wish(verb):
            return f"{no}想{verb.chinese}"
    raise ValueError(predicate)


def _done(action: Action, mood: Mood) -> str:
    thing = _object(action.thing, mood) if action.thing else ""
    if action.place:  # 在 is there for the place, and says nothing more
        no = "不" if mood is Mood.NOT else ""
        return f"{no}在{action.place.chinese_at}{action.verb.chinese}{thing}"
    if action.going_on:
        return f"{'没' if mood is Mood.NOT else ''}在{action.verb.chinese}{thing}"
    return (action.verb.chinese_not if mood is Mood.NOT else action.verb.chinese) + thing
