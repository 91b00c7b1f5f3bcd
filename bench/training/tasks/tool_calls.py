"""A request with one to three tools offered: the call of the right one, or a plain answer.

A call is written as Hermes models write it. Names of tools and parameters are those of the request:
there are several for each tool, and some are made up. Where no tool is for what is asked, the
answer is the one that it has without tools; after a tool's result it is a sentence made of it.

Held out: words of names, wholly; a request with a name of the tool; and, of what else is filled in,
a word with a request.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from bench.training import drawn
from bench.training.asking import said_by_user
from bench.training.drawn import Drawn, Parts
from bench.training.example import UNKNOWN, Example, Task, said
from bench.training.grammar import small
from bench.training.naming import Naming, made_up
from bench.training.offered import Offered, offer
from bench.training.tasks import arithmetic, sentiment
from bench.training.words import acting_tools, calendar, names, requests, telling_tools
from bench.training.words.tool import Parameter, Tool

NAME = "tool_calls"

PLAIN: tuple[Task, ...] = (arithmetic, sentiment)
"""Tasks whose examples come with tools that are not for them."""
PLAIN_SHARE, UNANSWERED_SHARE, RESULT_SHARE = 0.17, 0.05, 0.15

TOOLS = (*telling_tools.TOOLS, *acting_tools.TOOLS)
BY_NAME = {tool.names[0]: tool for tool in TOOLS}
CALCULATOR = BY_NAME["calculate"]
SEARCH = BY_NAME["search"]
# Not for requests that nobody answers: the model can do it, or another tool is as good.
ANSWERED = [
    BY_NAME[name]
    for name in (
        "calculate",
        "translate",
        "search",
        "send_email",
        "send_message",
        "set_timer",
        "set_reminder",
        "add_event",
    )
]

# Sentences made of a result; the braces are the request's slots and the result's keys.
RESULTS = {
    "get_weather": "It is {temperature} degrees and {condition} in {city}.",
    "get_time": "It is {time} in {city}.",
    "calculate": "The result is {result}.",
    "convert_currency": "{amount} {source} is {result} {target}.",
    "get_stock_price": "A share of {company} costs {price} dollars.",
    "get_population": "{population} people live in {city}.",
}


@dataclass(frozen=True)
class Request:
    """What the user says, and what of it goes into the call."""

    text: str
    template: str
    values: Mapping[str, str | int | float]
    parts: tuple[Parts, ...]


def taught(random: Random) -> Example:
    if random.random() < PLAIN_SHARE:
        return _plain(random, random.choice(PLAIN).taught(random), drawn.MADE_UP)
    return drawn.taught(draw, random)


def held_out(random: Random) -> Example:
    if random.random() < PLAIN_SHARE:
        return _plain(random, random.choice(PLAIN).held_out(random), 0.0)
    return drawn.held_out(draw, random)


def draw(random: Random, share_made_up: float) -> Drawn:
    if random.random() < UNANSWERED_SHARE:
        return _unanswered(random, share_made_up)
    results = random.random() < RESULT_SHARE
    tool = BY_NAME[random.choice(list(RESULTS))] if results else random.choice(TOOLS)
    request = _request(random, tool, Naming(random, share_made_up))
    offers = _offers(random, tool, share_made_up > 0)
    offered = next(offer for offer in offers if offer.tool is tool)
    arguments = {
        offered.called[slot]: request.values[slot]
        for slot in offered.order
        if slot in request.values
    }
    call = called(offered.name, arguments)
    parts = (*request.parts, (NAME, offered.name, request.template))
    messages = said_by_user(random, request.text)
    functions = [offer.function for offer in offers]
    if not results:
        return Drawn(Example(NAME, messages, call, functions), parts)
    result = _result(random, tool)
    answered = (
        *messages,
        said("assistant", call),
        said("tool", json.dumps(result, ensure_ascii=False)),
    )
    sentence = RESULTS[tool.names[0]].format(**{**request.values, **result})
    return Drawn(Example(NAME, answered, sentence, functions), parts)


def called(name: str, arguments: Mapping[str, Any]) -> str:
    """The call as it is written."""
    call = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{call}\n</tool_call>"


def _plain(random: Random, example: Example, share_made_up: float) -> Example:
    """The example with tools beside it that are not needed."""
    offers = _offers(random, None, share_made_up > 0, besides=[CALCULATOR, SEARCH])
    return replace(example, task=NAME, tools=[offer.function for offer in offers])


def _unanswered(random: Random, share_made_up: float) -> Drawn:
    """What a tool could do that is not offered."""
    tool = random.choice([tool for tool in TOOLS if tool not in ANSWERED])
    request = _request(random, tool, Naming(random, share_made_up))
    offers = _offers(random, None, share_made_up > 0, besides=[tool, SEARCH])
    messages = said_by_user(random, request.text)
    example = Example(NAME, messages, UNKNOWN, [offer.function for offer in offers])
    return Drawn(example, (*request.parts, (NAME, "unanswered", request.template)))


def _offers(
    random: Random, tool: Tool | None, made_up_names: bool, besides: Sequence[Tool] = ()
) -> list[Offered]:
    """The tool, if any, among others, in any order."""
    others = [other for other in TOOLS if other is not tool and other not in besides]
    count = random.choices((1, 2, 3), (4, 4, 2))[0]
    chosen = random.sample(others, count - (tool is not None))
    offers = [offer(random, each, made_up_names) for each in ([tool] if tool else []) + chosen]
    random.shuffle(offers)
    return offers


def _request(random: Random, tool: Tool, naming: Naming) -> Request:
    template = random.choice(tool.requests)
    parts: list[Parts] = []
    values: dict[str, str | int | float] = {}
    for parameter in tool.parameters:
        if "{" + parameter.slot + "}" in template:
            value = _value(random, parameter, naming)
            while value in values.values():
                value = _value(random, parameter, naming)
            values[parameter.slot] = value
            if not parameter.choices:
                parts.append((NAME, template, parameter.slot, str(value)))
    text = template.format(**values)
    if random.random() < 0.1:
        text = small(text[:-1] if template[-1] in ".?" else text)
    return Request(text, template, values, (*naming.parts, *parts))


def _value(random: Random, parameter: Parameter, naming: Naming) -> str | int | float:
    if parameter.choices:
        return random.choice(parameter.choices)
    named = {
        "city": naming.city,
        "person": naming.person,
        "company": naming.organization,
    }
    if parameter.fills == "address":
        return _address(random, naming)
    if parameter.fills in named:
        return named[parameter.fills]()
    if parameter.fills in FILLS:
        return random.choice(FILLS[parameter.fills])
    return _number(random, parameter.fills)


FILLS = {
    "topic": requests.TOPICS,
    "text": requests.TEXTS,
    "errand": requests.ERRANDS,
    "room": requests.ROOMS,
    "goods": requests.GOODS,
    "language": requests.LANGUAGES,
    "day": calendar.DAYS,
}


def _number(random: Random, fills: str) -> str | int | float:
    match fills:
        case "time":
            return f"{random.randint(6, 23)}:{random.choice(('00', '15', '30', '45'))}"
        case "expression":
            operator = random.choice("+-*/")
            return f"{random.randint(2, 999)} {operator} {random.randint(2, 99)}"
        case "amount":
            return random.choice((random.randint(1, 999), random.randint(1, 99) + 0.5))
    low, high = {"few": (2, 9), "degrees": (15, 25), "number": (2, 60)}[fills]
    return random.randint(low, high)


def _address(random: Random, naming: Naming) -> str:
    """In small letters a name is other tokens after a space than after a quotation mark.

    So those of evaluation are known names, with requests that they are not taught with.
    """
    name = made_up(random) if naming.made_up() else random.choice(names.FIRST_NAMES)
    return f"{name.lower()}@{random.choice(('example.com', 'mail.com', 'example.org'))}"


def _result(random: Random, tool: Tool) -> dict[str, str | int | float]:
    """What the tool gave back."""
    match tool.names[0]:
        case "get_weather":
            condition = random.choice(requests.CONDITIONS)
            return {"temperature": random.randint(1, 39), "condition": condition}
        case "get_time":
            return {"time": f"{random.randint(0, 23)}:{random.randint(10, 59)}"}
        case "get_population":
            return {"population": random.randint(1, 999) * 1000}
        case "get_stock_price":
            return {"price": random.randint(1, 999)}
    return {"result": random.randint(1, 9999)}
