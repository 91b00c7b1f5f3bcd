"""Tools as a client offers them: each time under other names, with a schema that must be read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from bench.training.naming import made_up
from bench.training.words.tool import Parameter, Tool

UNKNOWN_TOOL = 0.2
"""Share of tools with a name that is made up: it is the description that says what they do."""
UNKNOWN_PARAMETER = 0.1


@dataclass(frozen=True)
class Offered:
    """A tool with the names it has in this request: `called` by slot, in the schema's order."""

    tool: Tool
    name: str
    called: Mapping[str, str]
    function: Mapping[str, Any]
    """As OpenAI's API takes it."""

    @property
    def order(self) -> Sequence[str]:
        return list(self.called)


def offer(random: Random, tool: Tool, made_up_names: bool) -> Offered:
    """The tool, named, described and written as one client or another does it."""
    name = _name(random, tool, made_up_names)
    parameters = list(tool.parameters)
    if random.random() < 0.25:
        # What is made up would then have nothing that tells it from the next one.
        random.shuffle(parameters)
        called = _called(random, parameters, 0.0)
    else:
        called = _called(random, parameters, UNKNOWN_PARAMETER if made_up_names else 0.0)
    described, listed = random.random() < 0.2, random.random() < 0.6
    properties = {
        called[parameter.slot]: _schema(parameter, described, listed) for parameter in parameters
    }
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if random.random() < 0.85:
        schema["required"] = [called[p.slot] for p in parameters if p.required]
    function = {"name": name, "description": random.choice(tool.descriptions), "parameters": schema}
    return Offered(tool, name, called, {"type": "function", "function": function})


def _name(random: Random, tool: Tool, made_up_names: bool) -> str:
    if not made_up_names or random.random() >= UNKNOWN_TOOL:
        return random.choice(tool.names)
    form = random.choice(("get_{}", "{}", "{}_tool", "do_{}", "{}_service"))
    return form.format(made_up(random).lower())


def _called(random: Random, parameters: Sequence[Parameter], unknown: float) -> dict[str, str]:
    called: dict[str, str] = {}
    for parameter in parameters:
        word = random.choice([name for name in parameter.names if name not in called.values()])
        if random.random() < unknown:
            word = made_up(random).lower()
        called[parameter.slot] = word
    return called


def _schema(parameter: Parameter, described: bool, listed: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": parameter.kind}
    if described:
        schema["description"] = f"The {parameter.names[0].replace('_', ' ')}."
    if parameter.choices and listed:
        schema["enum"] = list(parameter.choices)
    return schema
