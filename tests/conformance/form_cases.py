"""Requests whose answer has to have a form, and those that make the model call a tool."""

from collections.abc import Sequence
from random import Random
from typing import Any

from tests.conformance.cases import CHAT, Case, Fields, case, chat, completion

_CITY: Fields = {"type": "string", "enum": ["Rome", "Oslo", "Lima"]}
_SCHEMAS: Sequence[Fields] = (
    {"type": "object", "properties": {"city": _CITY}, "required": ["city"]},
    {
        "type": "object",
        "properties": {"city": _CITY, "rainy": {"type": "boolean"}},
        "required": ["city", "rainy"],
        "additionalProperties": False,
    },
    {
        "type": "object",
        "properties": {"days": {"type": "array", "items": _CITY, "minItems": 1, "maxItems": 2}},
        "required": ["days"],
    },
    {
        "$defs": {"place": {"type": "object", "properties": {"city": _CITY}, "required": ["city"]}},
        "type": "object",
        "properties": {"from": {"$ref": "#/$defs/place"}, "to": {"$ref": "#/$defs/place"}},
        "required": ["from", "to"],
    },
    {"type": "object", "properties": {"warm": {"anyOf": [{"type": "null"}, _CITY]}}},
)
_FORMS: Sequence[Fields] = (
    *({"structured_outputs": {"json": schema}} for schema in _SCHEMAS[:2]),
    {"structured_outputs": {"json_object": True}},
    {"structured_outputs": {"regex": "[a-c]{2,4}(x|yz)"}},
    {"structured_outputs": {"regex": "(Rome|Oslo): [0-9]{1,3} degrees"}},
    {"structured_outputs": {"choice": ["sunny", "rainy", "neither of them"]}},
    {"structured_outputs": {"choice": ["42"]}},
    {"structured_outputs": {"grammar": 'root ::= "a" list\nlist ::= "," [x-z]{1,3} "!"'}},
    {"response_format": {"type": "text"}},
    {"response_format": {"type": "json_object"}},
    *(
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}}
        for schema in _SCHEMAS
    ),
)


def _tool(name: str, parameters: Fields | None) -> Fields:
    function: Fields = {"name": name, "description": f"Tells the {name}.", "strict": True}
    if parameters is not None:
        function["parameters"] = parameters
    return {"type": "function", "function": function}


_TOOLS = [_tool("weather", _SCHEMAS[1]), _tool("trip", _SCHEMAS[3])]
_CHOICES: Sequence[Any] = (
    {"type": "function", "function": {"name": "weather"}},
    {"type": "function", "function": {"name": "trip"}},
    "required",
    "none",
)


def forms(seed: int, count: int) -> list[Case]:
    """Every form occurs, on both endpoints in turn."""
    choose = Random(seed)
    made = []
    for number in range(count):
        base = chat(choose) if number % 2 else completion(choose)
        form = _FORMS[number // 2 % len(_FORMS)]
        body = {**base, **form, "max_tokens": choose.choice([8, 48, 96])}
        made.append(case(f"form-{number}", _path(base), body))
    return made


def calls(seed: int, count: int) -> list[Case]:
    """Every choice of a tool occurs."""
    choose = Random(seed)
    made = []
    for number in range(count):
        tool_choice = _CHOICES[number % len(_CHOICES)]
        body = {**chat(choose), "tools": _TOOLS, "tool_choice": tool_choice}
        body["max_tokens"] = choose.choice([6, 96, 96])
        if choose.random() < 0.3:
            body["parallel_tool_calls"] = choose.choice([True, False])
        forced = None if tool_choice == "none" else "a forced call"
        made.append(case(f"call-{number}", CHAT, body, forced))
    return made


def _path(body: Fields) -> str:
    return CHAT if "messages" in body else "/v1/completions"
