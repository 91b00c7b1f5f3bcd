"""Questions about a paragraph, answered by a span of it.

A paragraph tells two to five facts of one to three people, things or companies; often the same kind
of fact of two of them, so that the answer must be found by the name. Where the paragraph does not
say it, the answer is "I don't know."

Held out: words of names, wholly; a value with a question, or of a thing; a form with a question.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from bench.training import drawn
from bench.training.asking import Asking, said_by_user
from bench.training.drawn import Drawn, Parts
from bench.training.example import UNKNOWN, Example, Message, said
from bench.training.grammar import article, capital
from bench.training.naming import Naming
from bench.training.split import any_held_out, is_held_out
from bench.training.tasks.entities import nameless
from bench.training.words import facts, names
from bench.training.words.facts import Kind

NAME = "questions"
UNANSWERABLE = 0.13
EARLIER = (1, 1, 2, 3, 3)
"""In training: how often no question has come before, how often one, and so on: a text is long to
read, and its questions are short."""
_AFTER = "after"
"""The form of a question that comes with no text."""

# The paragraph stands for `{text}`; `{question}` is filled in first.
ASKING = Asking(
    forms=(
        "{text}\n\n{question}",
        "{text}\n{question}",
        "{text} {question}",
        "{text}\n\nQuestion: {question}",
        "Text: {text}\nQuestion: {question}",
        "Context: {text}\n\nQuestion: {question}\nAnswer:",
        "Read the text and answer the question.\n\n{text}\n\n{question}",
        "Answer the question from the text.\nText: {text}\nQuestion: {question}",
        "{question}\n\n{text}",
    )
)
INSTRUCTIONS = (
    "Answer the question from the text.",
    "Answer the user's question. Use only the text.",
)


@dataclass(frozen=True)
class Fact:
    """What the paragraph says of one subject; `subject` as questions name it."""

    subject: str
    kind: Kind
    value: str


@dataclass(frozen=True)
class Asked:
    """A question of a paragraph; `parts` may be kept out of training."""

    question: str
    template: str
    answer: str
    parts: Parts


def taught(random: Random) -> Example:
    return drawn.taught(draw, random, history=0.0)


def held_out(random: Random) -> Example:
    return drawn.held_out(draw, random, history=0.0)


def draw(random: Random, made_up: float) -> Drawn:
    naming = Naming(random, made_up)
    told, untold = _facts(random, naming)
    paragraph = _paragraph(random, told)
    asked = _asked(random, told, untold)
    earlier = _earlier(random, told, untold, asked, teaching=made_up > 0)
    first, *_ = every = (*earlier, asked)
    form = _form(random)
    while earlier and made_up and is_held_out(NAME, form, first.template):
        form = _form(random)
    messages = [*_messages(random, form, paragraph, first.question)]
    for before, after in pairwise(every):
        messages += said("assistant", before.answer), said("user", after.question)
    role = (NAME, _AFTER if earlier else form, asked.template)
    example = Example(NAME, messages, asked.answer)
    return Drawn(example, (*naming.parts, asked.parts, role))


def _form(random: Random) -> str:
    return random.choice((*ASKING.forms, *INSTRUCTIONS))


def _messages(random: Random, form: str, text: str, question: str) -> Sequence[Message]:
    if form in INSTRUCTIONS:
        return said("system", form), said("user", f"{text}\n\n{question}")
    content = form.replace("{question}", question).replace("{text}", text)
    return said_by_user(random, content)


def _earlier(
    random: Random, told: Sequence[Fact], untold: Sequence[Fact], last: Asked, *, teaching: bool
) -> Sequence[Asked]:
    """Other questions of the same text, which have been answered before."""
    count = random.choices(range(len(EARLIER)), EARLIER)[0] if teaching else random.random() < 0.1
    found: dict[str, Asked] = {}
    for _ in range(3 * count):
        asked = _asked(random, told, untold)
        kept = any_held_out((asked.parts, (NAME, _AFTER, asked.template)))
        if len(found) < count and asked.question != last.question and not (teaching and kept):
            found[asked.question] = asked
    return list(found.values())


def _asked(random: Random, told: Sequence[Fact], untold: Sequence[Fact]) -> Asked:
    """One of the questions that the facts answer, or, now and then, one that they do not."""
    unanswerable = untold and random.random() < UNANSWERABLE
    fact = random.choice(untold if unanswerable else told)
    if not unanswerable and fact.kind.who and random.random() < 0.25:
        template = random.choice(fact.kind.who)
        question, answer = _filled(template, "", "", fact), fact.subject
    else:
        template = random.choice(fact.kind.questions)
        question, answer = _question(template, fact), UNKNOWN if unanswerable else fact.value
    role = fact.subject if fact.kind.subjects else template
    return Asked(question, template, answer, (NAME, fact.kind.name, role, fact.value))


def _question(template: str, fact: Fact) -> str:
    return template.format(who=fact.subject, whose=f"{fact.subject}'s")


def _facts(random: Random, naming: Naming) -> tuple[list[Fact], list[Fact]]:
    """What is told, and what could be asked but is not told."""
    group = random.choices(("people", "things", "companies"), (6, 3, 2))[0]
    count = random.choice((2, 2, 3, 3, 4, 5))
    subjects, kinds = _subjects_and_kinds(random, naming, group)
    pairs = [(subject, kind) for subject in subjects for kind in kinds if _fits(subject, kind)]
    random.shuffle(pairs)
    values = _Values(random, naming)
    every = [Fact(subject, kind, values.draw(kind)) for subject, kind in pairs]
    told, untold = every[:count], every[count:]
    if group != "things":
        stranger = naming.first_name() if group == "people" else naming.organization()
        untold.append(Fact(stranger, random.choice(told).kind, "nothing"))
    return told, untold


def _subjects_and_kinds(
    random: Random, naming: Naming, group: str
) -> tuple[Sequence[str], Sequence[Kind]]:
    many = random.choice((1, 2, 2, 3))
    if group == "people":
        people = [naming.first_name() if random.random() < 0.7 else naming.person()]
        people += [naming.first_name() for _ in range(many - 1)]
        return people, random.sample(facts.PEOPLE, random.choice((2, 3, 4)))
    if group == "companies":
        companies = [naming.organization() for _ in range(min(many, 2))]
        return companies, random.sample(facts.COMPANIES, random.choice((2, 3)))
    kinds = random.sample(facts.THINGS, random.choice((2, 3)))
    things = sorted({subject for kind in kinds for subject in kind.subjects})
    return [f"the {thing}" for thing in random.sample(things, 3)], kinds


def _fits(subject: str, kind: Kind) -> bool:
    return not kind.subjects or subject.removeprefix("the ") in kind.subjects


class _Values:
    """Draws what facts say; no value twice, so that each question has one answer."""

    def __init__(self, random: Random, naming: Naming) -> None:
        self._random = random
        self._naming = naming
        self._drawn: set[str] = set()

    def draw(self, kind: Kind) -> str:
        while True:
            value = self._draw(kind.value)
            if value not in self._drawn:
                self._drawn.add(value)
                return value

    def _draw(self, value: str) -> str:
        if value in facts.VALUES:
            return self._random.choice(facts.VALUES[value])
        named = {
            "city": self._naming.city,
            "organization": self._naming.organization,
            "person": self._naming.person,
        }
        return named[value]() if value in named else _number(self._random, value)


def _number(random: Random, value: str) -> str:
    """A value that is counted or measured."""
    if value == "price":
        return f"{random.randint(2, 99)} {random.choice(('dollars', 'euros'))}"
    if value == "time":
        return f"{random.randint(6, 23)}:{random.choice(('00', '15', '30', '45'))}"
    low, high = {"age": (5, 99), "year": (1800, 2025), "hundred": (20, 999)}[value]
    return str(random.randint(low, high))


def _paragraph(random: Random, told: Sequence[Fact]) -> str:
    """The facts as sentences; the second about a subject may name it by a pronoun, or join on."""
    if random.random() < 0.6:
        told = sorted(told, key=lambda fact: fact.subject)
    sentences: list[str] = []
    before, joinable = "", False
    for fact in told:
        template = random.choice(fact.kind.statements)
        if fact.subject != before or random.random() < 0.4:
            who, whose = fact.subject, f"{fact.subject}'s"
        else:
            who, whose = _pronouns(fact)
        sentence = _filled(template, who, whose, fact)
        verb_first = template.startswith("{who} ")
        if who in PRONOUNS and verb_first and joinable and random.random() < 0.4:
            sentences[-1] = f"{sentences[-1][:-1]} and {sentence.removeprefix(who + ' ')}"
        else:
            sentences.append(capital(sentence))
            joinable = verb_first
        before = fact.subject
    if random.random() < 0.12:
        sentences.insert(random.choice((0, len(sentences))), nameless(random))
    return " ".join(sentences)


PRONOUNS = {"she": "her", "he": "his", "it": "its"}


def _pronouns(fact: Fact) -> tuple[str, str]:
    """Names that are made up are men's and women's in turn of their letters."""
    first = fact.subject.split()[0]
    if fact.kind not in facts.PEOPLE:
        who = "it"
    elif first in names.FIRST_NAMES:
        who = "she" if first in names.WOMEN else "he"
    else:
        who = "she" if first[-1] in "aeinst" else "he"
    return who, PRONOUNS[who]


def _filled(template: str, who: str, whose: str, fact: Fact) -> str:
    template = template.replace("a {value}", article(fact.value))
    return template.format(who=who, whose=whose, whom=fact.subject, value=fact.value)
