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
from bench.training.example import UNKNOWN, Example, Message, Task, said
from bench.training.grammar import small
from bench.training.naming import Naming, made_up
from bench.training.offered import Offered, offer
from bench.training.split import any_held_out
from bench.training.tasks import arithmetic, sentiment
from bench.training.words import acting_tools, calendar, names, requests, telling_tools
from bench.training.words.tool import Parameter, Tool

NAME = "tool_calls"

PLAIN: tuple[Task, ...] = (arithmetic, sentiment)
"""Tasks whose examples come with tools that are not for them."""
PLAIN_SHARE, UNANSWERED_SHARE, RESULT_SHARE = 0.17, 0.05, 0.15
MORE_SHARE = 0.85
"""In training: of conversations that can have one more request before the last, those that do."""
ASIDE_SHARE = 0.3
"""Of these requests, those that are none to a tool."""
_ATTEMPTS = 10

TOOLS = (*telling_tools.TOOLS, *acting_tools.TOOLS)
BY_NAME = {tool.names[0]: tool for tool in TOOLS}
CALCULATOR = BY_NAME["calculate"]
SEARCH = BY_NAME["search"]
DO_IT_ALL = [CALCULATOR, SEARCH]
# What the model cannot do itself, and no other tool as well.
UNANSWERED = [
    tool
    for tool in TOOLS
    if tool.names[0]
    not in {
        "calculate",
        "translate",
        "search",
        "send_email",
        "send_message",
        "set_timer",
        "set_reminder",
        "add_event",
    }
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
DONE = "Done."
"""What is said of a tool that has done something."""


@dataclass(frozen=True)
class Request:
    """What the user says, and what of it goes into the call."""

    text: str
    template: str
    values: Mapping[str, str | int | float]
    parts: tuple[Parts, ...]


@dataclass(frozen=True)
class Call:
    """A request that a tool is called for, the call, what came of it and what is said then."""

    request: Request
    text: str
    result: Mapping[str, str | int | float]
    outcome: str
    parts: tuple[Parts, ...]

    @property
    def answered(self) -> tuple[Message, Message]:
        """The call and the tool's answer."""
        result = json.dumps(self.result, ensure_ascii=False)
        return said("assistant", self.text), said("tool", result)


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
    offers = _offers(random, tool, share_made_up > 0)
    offered = next(offer for offer in offers if offer.tool is tool)
    call = _call(random, offered, Naming(random, share_made_up))
    asked = said_by_user(random, call.request.text)
    answer = call.outcome if results else call.text
    asked = (*asked, *call.answered) if results else asked
    messages = _after_others(random, asked, offers, share_made_up, tool)
    return Drawn(Example(NAME, messages, answer, _functions(offers)), call.parts)


def _call(random: Random, offered: Offered, naming: Naming) -> Call:
    request = _request(random, offered.tool, naming)
    arguments = {
        offered.called[slot]: request.values[slot]
        for slot in offered.order
        if slot in request.values
    }
    name = offered.tool.names[0]
    result = _result(random, offered.tool)
    outcome = RESULTS.get(name, DONE).format(**{**request.values, **result})
    parts = (*request.parts, (NAME, offered.name, request.template))
    return Call(request, called(offered.name, arguments), result, outcome, parts)


def called(name: str, arguments: Mapping[str, Any]) -> str:
    """The call as it is written."""
    call = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{call}\n</tool_call>"


def _plain(random: Random, example: Example, share_made_up: float) -> Example:
    """The example with tools beside it that are not needed."""
    offers = _offers(random, None, share_made_up > 0, besides=DO_IT_ALL)
    messages = _after_others(random, example.messages, offers, share_made_up)
    return replace(example, task=NAME, messages=messages, tools=_functions(offers))


def _unanswered(random: Random, share_made_up: float) -> Drawn:
    """What a tool could do that is not offered."""
    tool = random.choice(UNANSWERED)
    request = _request(random, tool, Naming(random, share_made_up))
    offers = _offers(random, None, share_made_up > 0, besides=[tool, SEARCH])
    asked = said_by_user(random, request.text)
    messages = _after_others(random, asked, offers, share_made_up)
    example = Example(NAME, messages, UNKNOWN, _functions(offers))
    return Drawn(example, _unanswered_parts(request))


def _unanswered_parts(request: Request) -> tuple[Parts, ...]:
    return (*request.parts, (NAME, "unanswered", request.template))


def _functions(offers: Sequence[Offered]) -> list[Mapping[str, Any]]:
    return [offer.function for offer in offers]


def _after_others(
    random: Random,
    messages: Sequence[Message],
    offers: Sequence[Offered],
    share_made_up: float,
    asked_for: Tool | None = None,
) -> Sequence[Message]:
    """In training: after other requests to the same tools, which are long to read.

    None is called twice: it could be called as before, and its description be left unread.
    """
    if not share_made_up:
        return messages
    unused = [offer for offer in offers if offer.tool is not asked_for]
    random.shuffle(unused)
    alone = SEARCH not in [offer.tool for offer in offers]
    earlier: list[Message] = []
    while unused and random.random() < MORE_SHARE:
        if alone and random.random() < ASIDE_SHARE:
            earlier += _aside(random, offers, share_made_up)
        else:
            earlier += _exchange(random, unused.pop(), share_made_up)
    opening = [message for message in messages if message["role"] == "system"]
    return *opening, *earlier, *messages[len(opening) :]


def _exchange(random: Random, offered: Offered, share_made_up: float) -> Sequence[Message]:
    """A request to a tool and what came of it, with nothing in it that is kept out of training.

    Nothing at all where every request with this name of the tool is kept out.
    """
    for _ in range(_ATTEMPTS):
        call = _call(random, offered, Naming(random, share_made_up))
        if not any_held_out(call.parts):
            asked = said("user", call.request.text)
            return asked, *call.answered, said("assistant", call.outcome)
    return ()


def _aside(random: Random, offers: Sequence[Offered], share_made_up: float) -> Sequence[Message]:
    """The same of a request that none of the tools is for."""
    tools = [offer.tool for offer in offers]
    if CALCULATOR not in tools and random.random() < 0.5:
        example = random.choice(PLAIN).taught(random)
        return *example.messages[-1:], said("assistant", example.answer)
    others = [tool for tool in UNANSWERED if tool not in tools]
    while True:
        tool = random.choice(others)
        request = _request(random, tool, Naming(random, share_made_up))
        if not any_held_out(_unanswered_parts(request)):
            return said("user", request.text), said("assistant", UNKNOWN)


def _offers(
    random: Random, tool: Tool | None, made_up_names: bool, besides: Sequence[Tool] = ()
) -> list[Offered]:
    """The tool, if any, among others, in any order."""
    others = [other for other in TOOLS if other is not tool and other not in besides]
    count = random.choices((1, 2, 3), (2, 4, 4) if made_up_names else (4, 4, 2))[0]
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
        case name if name in RESULTS:
            return {"result": random.randint(1, 9999)}
    return {"status": "ok"}
