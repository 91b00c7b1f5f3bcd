"""Meanings said in French, and which of them come back from it.

French has one present ("dort": sleeps, is sleeping), one "ce" (this, that), one "son" (his,
her), and "les chats" behind "aimer" for cats in general. So "sleeps", "this", "his" and bare
plurals are what one translates back to.
"""

from collections.abc import Mapping

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
    closed,
    is_feminine,
    is_plural,
    person,
)
from bench.training.words import verbs
from bench.training.words.adjectives import Adjective
from bench.training.words.nouns import FRENCH_TRADES_OF_WOMEN
from bench.training.words.pronouns import NUMBERS

_VOWELS = "aeiouhéèêœâ"  # every h among the words but that of "huit" is mute
_OWNERS = {
    Which.MY: ("mon", "ma", "mes"),
    Which.YOUR: ("votre", "votre", "vos"),
    Which.HIS: ("son", "sa", "ses"),
    Which.HER: ("son", "sa", "ses"),
    Which.OUR: ("notre", "notre", "nos"),
}


def comes_back(clause: Clause) -> bool:
    """Whether the English of this clause is what its French is translated to."""
    things = [clause.subject]
    if isinstance(clause.predicate, Action):
        if clause.predicate.going_on:
            return False
        if clause.predicate.thing:
            things.append(clause.predicate.thing)
            if clause.predicate.verb is verbs.LIKE and _is_loose(clause.predicate.thing):
                return False
    lost = (Which.THAT, Which.HER)
    return not any(isinstance(thing, Thing) and thing.which in lost for thing in things)


def _is_loose(liked: Thing) -> bool:
    """ "I like the cats" is "J'aime les chats", as "I like cats" is."""
    return liked.which is Which.THE and (liked.plural or liked.noun.mass)


def say(clause: Clause) -> str:
    subject, mood = clause.subject, clause.mood
    match clause.predicate:
        case Search():
            return closed(f"où {verbs.BE[person(subject)]} {said(subject)}", " ?")
        case Showing():
            this = "ce n'est pas" if mood is Mood.NOT else "c'est"
            return closed(f"{this} {said(subject)}", ".")
        case Presence(place):
            return closed(f"{_there(subject, mood)} {place.french_at}", ".")
    verb = _conjugated(clause.predicate, person(subject))
    rest = _rest(clause.predicate, subject, mood)
    if mood is Mood.NOT:
        verb = elided("ne", verb) + " pas"
    whole = f"{said(subject)} {verb} {rest}".strip()
    if not isinstance(subject, Thing) and subject.french == "je":
        whole = elided("je", whole.removeprefix("je "))
    if mood is Mood.ASKED:
        return closed("est-ce " + elided("que", whole), " ?")
    return closed(whole, ".")


def elided(small: str, behind: str) -> str:
    """je + ai: j'ai; but que + huit."""
    elides = behind[0].lower() in _VOWELS and not behind.startswith("huit")
    return f"{small[:-1]}'{behind}" if elides else f"{small} {behind}"


def said(subject: Subject, which: Which | None = None) -> str:
    if not isinstance(subject, Thing):
        return subject.french
    words = _named(subject)
    if subject.number > 1:
        return f"{NUMBERS[subject.number][1]} {words}"
    return _picked(subject, which or subject.which, words)


def _named(thing: Thing) -> str:
    """Noun and adjective."""
    noun = thing.noun.french_plural if thing.plural else thing.noun.french
    if not thing.adjective:
        return noun
    adjective = agreeing(thing.adjective, thing.noun.feminine, thing.plural)
    if not thing.adjective.before:
        return f"{noun} {adjective}"
    if not thing.plural and not thing.noun.feminine and noun[0] in _VOWELS:
        adjective = thing.adjective.before_vowel
    return f"{adjective} {noun}"


def agreeing(adjective: Adjective, feminine: bool, plural: bool) -> str:
    if not plural:
        return adjective.feminine if feminine else adjective.french
    if feminine:
        return adjective.feminine + "s"
    if adjective.french.endswith("eau"):
        return adjective.french + "x"
    return adjective.french if adjective.french[-1] in "sx" else adjective.french + "s"


def _picked(thing: Thing, which: Which, words: str) -> str:
    feminine, vowel = thing.noun.feminine, words[0] in _VOWELS
    if which in OWNED:
        own, own_feminine, own_plural = _OWNERS[which]
        if thing.plural:
            return f"{own_plural} {words}"
        return f"{own_feminine if feminine and not vowel else own} {words}"
    if which is Which.THE:
        return f"les {words}" if thing.plural else _with_le(words, feminine)
    if which in (Which.THIS, Which.THAT):
        if thing.plural:
            return f"ces {words}"
        return f"{'cette' if feminine else 'cet' if vowel else 'ce'} {words}"
    if which is Which.A:
        return f"{'une' if feminine else 'un'} {words}"
    return _some(thing, words)


def _with_le(words: str, feminine: bool) -> str:
    if words[0] in _VOWELS:
        return f"l'{words}"
    return f"la {words}" if feminine else f"le {words}"


def _some(thing: Thing, words: str) -> str:
    """des pommes, de petites pommes, du pain, de la soupe, de l'eau."""
    if thing.plural:
        first = thing.adjective and thing.adjective.before
        return elided("de", words) if first else f"des {words}"
    if thing.noun.feminine or words[0] in _VOWELS:
        return f"de {_with_le(words, True)}"
    return f"du {words}"


def _of(subject: Subject) -> str:
    """What is left of an indefinite article behind "pas"."""
    assert isinstance(subject, Thing)
    return elided("de", _named(subject))


def _there(subject: Subject, mood: Mood) -> str:
    return f"il n'y a pas {_of(subject)}" if mood is Mood.NOT else f"il y a {said(subject)}"


def _conjugated(predicate: Predicate, who: int) -> str:
    match predicate:
        case Action(verb):
            return verb.french[who]
        case Going():
            return verbs.GO.french[who]
        case Wish():
            return verbs.WANT.french[who]
        case _:
            return verbs.BE[who]


def _rest(predicate: Predicate, subject: Subject, mood: Mood) -> str:
    """What stands behind the conjugated verb."""
    match predicate:
        case Action(verb, thing, _, place, time):
            parts = (
                _object(predicate, thing, mood) if thing else "",
                place.french_at if place else "",
                time.french if time else "",
            )
            return " ".join(part for part in parts if part)
        case Going(place, time):
            return f"{place.french_to} {time.french if time else ''}".strip()
        case Wish(verb):
            return verb.infinitive
        case Quality(adjective):
            return agreeing(adjective, is_feminine(subject), is_plural(subject))
        case Position(place):
            return place.french_at
        case Trade(noun):
            of_women: Mapping[str, str] = FRENCH_TRADES_OF_WOMEN if is_feminine(subject) else {}
            return of_women.get(noun.french, noun.french)
    raise ValueError(predicate)


def _object(action: Action, thing: Thing, mood: Mood) -> str:
    indefinite = thing.number == 1 and thing.which in (Which.A, Which.SOME)
    if thing.noun.kind == "language":
        return _named(thing)
    if action.verb is verbs.LIKE and thing.which is Which.SOME:
        return said(thing, Which.THE)
    return _of(thing) if indefinite and mood is Mood.NOT else said(thing)
