"""The one sentence of a text that says what it is about.

The rule: it is the sentence that says who decided, plans, announced or has reached what ("The town
will build a new library.", "Anna Keller has won the race in Oslo."). The others are details: what
it cost, when, why, how many, and who is pleased. It may stand anywhere, and is answered as it is.

Held out: words of names, wholly; an agent or a form of decision with an action; and a form with an
action.
"""

from collections.abc import Sequence
from random import Random

from bench.training import drawn
from bench.training.asking import Asking
from bench.training.drawn import Drawn, Parts
from bench.training.example import Example
from bench.training.naming import Naming
from bench.training.words import calendar, news

NAME = "summaries"

ASKING = Asking(
    forms=(
        "Summarize: {text}",
        "Summarize this text: {text}",
        "Summarize this text in one sentence: {text}",
        "Summarize the following text.\n\n{text}",
        "Give a short summary: {text}",
        "What is the main point of this text?\n{text}",
        "{text}\n\nSummarize this in one sentence.",
        "{text}\nTL;DR:",
    ),
    instructions=(
        "Summarize the user's text in one sentence.",
        "You write short summaries.",
    ),
)


def taught(random: Random) -> Example:
    return drawn.taught(draw, random, history=0.0)


def held_out(random: Random) -> Example:
    return drawn.held_out(draw, random, history=0.0)


def draw(random: Random, made_up: float) -> Drawn:
    naming = Naming(random, made_up)
    main, details, parts = _result(random) if random.random() < 0.2 else _decision(random)
    told = _filled(random, naming, (main, *details))
    answer, sentences = told[0], list(told[1:])
    sentences.insert(random.randint(0, len(sentences)), answer)
    form = ASKING.draw(random)
    messages = ASKING.messages(random, form, " ".join(sentences))
    asked = (NAME, form, *parts[-1][1:])
    return Drawn(Example(NAME, messages, answer), (*naming.parts, *parts, asked))


def _decision(random: Random) -> tuple[str, list[str], tuple[Parts, ...]]:
    """The main sentence, the details, and what may be held out of the two."""
    story = random.choice(news.STORIES)
    agent, action = random.choice(story.agents), random.choice(story.actions)
    decision = random.choice(news.DECISIONS)
    main = decision.replace("{agent}", agent).replace("{action}", action)
    details = random.sample(story.details, random.choice((2, 2, 3)))
    return main, details, ((NAME, "agent", agent, action), (NAME, decision, action))


def _result(random: Random) -> tuple[str, list[str], tuple[Parts, ...]]:
    main = random.choice(news.RESULTS)
    details = random.sample(news.RESULT_DETAILS, random.choice((2, 2, 3)))
    return main, details, ((NAME, "result", main, details[0]),)


def _filled(random: Random, naming: Naming, templates: Sequence[str]) -> list[str]:
    """The sentences with names, the same in all, and with numbers, new in each."""
    draws = {"P": naming.person, "O": naming.organization, "L": naming.place}
    slots = ("P", "O", "O2", "L", "L2")
    used = [slot for slot in slots if any("{" + slot + "}" in text for text in templates)]
    names = {slot: draws[slot[0]]() for slot in used}
    return [
        template.format(
            **names,
            number=random.choice(calendar.NUMBERS[:8]),
            month=random.choice(calendar.MONTHS),
            day=random.choice(calendar.DAYS),
            year=random.randint(1950, 2020),
        )
        for template in templates
    ]
