"""The functions that a model may call, and the one that a chat has to call."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, ValidationInfo

from deployments.errors import BadRequest
from deployments.messages import StructuredOutputs
from serve_app.http.fields import Quick
from serve_app.http.limiting import LengthWithin
from serve_app.http.parsing import (
    INVALID_TYPE,
    INVALID_VALUE,
    Refused,
    StrictObject,
    describe,
    invalid,
    not_yet,
)
from serve_app.http.schemas import Name, bounded_schema, check_keywords, compact_json

_NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}
"""What OpenAI takes the absence of parameters for."""


def _parameters(schema: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    bounded_schema(schema, info)
    if schema.get("type") != "object":
        raise Refused('must be "object", which arguments are', INVALID_VALUE, field="type")
    return schema


Parameters = Annotated[
    dict[str, Any],
    AfterValidator(_parameters),
    Field(json_schema_extra={"required": ["type"], "properties": {"type": {"const": "object"}}}),
]


class Function(StrictObject):
    """What a tool is. Calls are held to its `parameters` if they are forced, or it is `strict`."""

    name: Name
    description: str | None = None
    parameters: Parameters | None = None
    strict: bool | None = None

    @property
    def argument_schema(self) -> dict[str, Any]:
        """What its arguments have to be."""
        return _NO_ARGUMENTS if self.parameters is None else self.parameters

    @property
    def arguments(self) -> StructuredOutputs:
        """The form of the arguments."""
        return StructuredOutputs(json=compact_json(self.argument_schema))


class Tool(StrictObject):
    """A function that the model may know of."""

    type: Annotated[Literal["function"], not_yet("custom")]
    function: Function

    def for_template(self) -> dict[str, Any]:
        """The tool as chat templates take it: as the client wrote it, but for nulls."""
        return self.model_dump(exclude_unset=True)


def _names_differ(tools: list[Tool]) -> list[Tool]:
    names = [tool.function.name for tool in tools]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused(f'must not name two functions "{twice}"', INVALID_VALUE)
    return tools


Tools = Annotated[
    Quick[Tool], Field(min_length=1), LengthWithin("tools"), AfterValidator(_names_differ)
]


class FunctionName(StrictObject):
    """Which function to call."""

    name: str


class NamedTool(StrictObject):
    """The tool to call, and no other."""

    type: Annotated[Literal["function"], not_yet("allowed_tools", "custom")]
    function: FunctionName


Mode = Literal["none", "auto", "required"]
_MODES: tuple[Mode, ...] = ("none", "auto", "required")


def _choice(value: object) -> NamedTool | Mode:
    # No union of pydantic's: it would name its branch in the path to what is wrong.
    if isinstance(value, dict):
        return NamedTool.model_validate(value)
    for mode in _MODES:
        if value == mode:
            return mode
    raise Refused(
        f'must be "none", "auto", "required" or an object that names a function, '
        f"but it is {describe(value)}",
        INVALID_VALUE if isinstance(value, str) else INVALID_TYPE,
    )


ToolChoice = Annotated[
    NamedTool | Mode, PlainValidator(_choice, json_schema_input_type=NamedTool | Mode)
]


def chosen_function(tools: Sequence[Tool] | None, choice: NamedTool | Mode) -> Function | None:
    """The function that has to be called, if it is named; raises BadRequest if it is none of the
    tools, or there are none to choose from."""
    if isinstance(choice, NamedTool):
        return _named(choice.function.name, tools)
    if tools is None and choice != "none":
        raise invalid("tool_choice", "needs 'tools' to choose from")
    return None


def _named(name: str, tools: Sequence[Tool] | None) -> Function:
    for tool in tools or ():
        if tool.function.name == name:
            return tool.function
    predicate = f"must be the name of one of the 'tools', but it is {describe(name)}"
    raise invalid("tool_choice.function.name", predicate)


def check_arguments(tools: Sequence[Tool] | None, choice: NamedTool | Mode) -> None:
    """Raises BadRequest for parameters that calls are to be held to, and would not be."""
    for index, tool in enumerate(tools or ()):
        if not _is_enforced(tool.function, choice):
            continue
        try:
            check_keywords(tool.function.argument_schema)
        except Refused as exc:
            param = f"tools[{index}].function.parameters"
            raise BadRequest(f"'{param}' {exc.predicate}.", param=param, code=exc.code) from None


def _is_enforced(function: Function, choice: NamedTool | Mode) -> bool:
    if isinstance(choice, NamedTool):
        return choice.function.name == function.name
    return choice == "required" or (choice == "auto" and bool(function.strict))
