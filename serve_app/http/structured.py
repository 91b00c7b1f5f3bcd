"""What an answer has to look like: `response_format`, and the function that a chat has to call."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator

from deployments.errors import BadRequest
from deployments.messages import StructuredOutputs
from serve_app.http.fields import Quick
from serve_app.http.parsing import (
    INVALID_TYPE,
    INVALID_VALUE,
    MISSING_PARAMETER,
    UNSUPPORTED_PARAMETER,
    Refused,
    StrictObject,
    describe,
    not_yet,
)

MAX_TOOLS = 128
MAX_SCHEMA_BYTES = 64 * 1024
"""Of a schema as compact JSON."""
MAX_SCHEMA_DEPTH = 16
"""How deep objects and arrays may nest in a schema, which is itself the first."""

_UNENFORCED = frozenset({"$dynamicRef", "dependentSchemas", "if", "not"})
"""Keywords that vLLM's grammars pass over in silence; read against 0.32.0."""
_NAMES_TO_SCHEMAS = frozenset({"$defs", "definitions", "patternProperties", "properties"})
_DATA = frozenset({"const", "default", "enum", "examples"})

_NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}
"""What OpenAI takes the absence of parameters for."""


def schema_text(schema: object) -> str:
    """`schema` as compact JSON; raises Refused when it is none or beyond the limits."""
    if not isinstance(schema, dict):
        raise Refused(f"must be an object, but it is {describe(schema)}", INVALID_TYPE)
    try:
        # Its recursion is bounded: no body nests deeper than parsing lets it.
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        raise Refused("must hold finite numbers only", INVALID_VALUE) from None
    size = len(text.encode())
    if size > MAX_SCHEMA_BYTES:
        raise Refused(
            f"must have at most {MAX_SCHEMA_BYTES} bytes as JSON, not {size}", INVALID_VALUE
        )
    if _is_deeper_than(MAX_SCHEMA_DEPTH, schema):
        raise Refused(
            f"must not nest objects and arrays deeper than {MAX_SCHEMA_DEPTH}", INVALID_VALUE
        )
    _check_keywords(schema)
    return text


def _is_deeper_than(limit: int, outermost: dict[str, Any]) -> bool:
    level: list[Any] = [outermost]
    for _ in range(limit):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
    return bool(level)


def _check_keywords(schema: dict[str, Any]) -> None:
    """Raises Refused for what would be accepted and then not hold."""
    inner: list[Any] = [schema]
    while inner:
        node = inner.pop()
        if isinstance(node, list):
            inner += node
            continue
        for key, value in node.items() if isinstance(node, dict) else ():
            if key in _UNENFORCED:
                raise Refused(f'must not use "{key}": it is not supported', UNSUPPORTED_PARAMETER)
            if key == "$ref" and not (value == "#" or str(value).startswith("#/")):
                raise Refused(
                    'must have each "$ref" be "#" or begin with "#/"', UNSUPPORTED_PARAMETER
                )
            if key in _NAMES_TO_SCHEMAS and isinstance(value, dict):
                inner += value.values()
            elif key not in _DATA:
                inner.append(value)


def _parameters(schema: dict[str, Any]) -> dict[str, Any]:
    schema_text(schema)
    if schema.get("type") != "object":
        raise Refused('must be "object", which arguments are', INVALID_VALUE, field="type")
    return schema


Name = Annotated[str, Field(pattern="^[a-zA-Z0-9_-]{1,64}$")]


class JsonSchema(StrictObject):
    """A schema and what OpenAI has beside it.

    Every schema is enforced, which is all that `strict` asks for when it is true, and more than
    when it is false. `name` and `description` are labels.
    """

    name: Name
    description: str | None = None
    text: Annotated[str, BeforeValidator(schema_text)] | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(StrictObject):
    """The form of the answer."""

    type: Annotated[Literal["text", "json_object", "json_schema"], not_yet("structural_tag")]
    json_schema: JsonSchema | None = None

    @property
    def structured_outputs(self) -> StructuredOutputs | None:
        """The form for the engine; None is free text."""
        if self.type == "text":
            return None
        if self.json_schema is None or self.json_schema.text is None:
            return StructuredOutputs(json_object=True)
        return StructuredOutputs(json=self.json_schema.text)

    @model_validator(mode="after")
    def _has_a_schema_or_none(self) -> Self:
        if self.type == "json_schema" and self.json_schema is None:
            raise Refused("is required", MISSING_PARAMETER, field="json_schema")
        if self.type != "json_schema" and self.json_schema is not None:
            raise Refused("needs 'type' to be \"json_schema\"", INVALID_VALUE, field="json_schema")
        return self


class Function(StrictObject):
    """What a tool is; for `strict` see JsonSchema."""

    name: Name
    description: str | None = None
    parameters: Annotated[dict[str, Any], AfterValidator(_parameters)] | None = None
    strict: bool | None = None

    @property
    def arguments(self) -> StructuredOutputs:
        """The form of the arguments."""
        schema = _NO_ARGUMENTS if self.parameters is None else self.parameters
        return StructuredOutputs(json=schema_text(schema))


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
    Quick[Tool], Field(min_length=1, max_length=MAX_TOOLS), AfterValidator(_names_differ)
]


class FunctionName(StrictObject):
    """Which function to call."""

    name: str


class NamedTool(StrictObject):
    """The tool to call, and no other."""

    type: Annotated[Literal["function"], not_yet("allowed_tools", "custom")]
    function: FunctionName


_ADVICE = 'name one function, or send "none"'


def _choice(value: object) -> NamedTool | Literal["none"]:
    # No union of pydantic's: it would name its branch in the path to what is wrong.
    if isinstance(value, dict):
        return NamedTool.model_validate(value)
    if value in ("auto", "required"):
        raise Refused(
            f'must not be "{value}": it is not supported yet; {_ADVICE}', UNSUPPORTED_PARAMETER
        )
    if value != "none":
        raise Refused(
            f'must be "none" or an object that names a function, but it is {describe(value)}',
            INVALID_VALUE if isinstance(value, str) else INVALID_TYPE,
        )
    return "none"


ToolChoice = Annotated[NamedTool | Literal["none"], PlainValidator(_choice)]


def chosen_function(
    tools: Sequence[Tool] | None, choice: NamedTool | Literal["none"] | None
) -> Function | None:
    """The function that has to be called, if any; raises BadRequest when the two do not agree."""
    if isinstance(choice, NamedTool):
        return _named(choice.function.name, tools)
    if tools is not None and choice is None:
        raise BadRequest(
            f"'tool_choice' must be given beside 'tools': \"auto\", which it would be otherwise, "
            f"is not supported yet; {_ADVICE}.",
            param="tool_choice",
            code=UNSUPPORTED_PARAMETER,
        )
    return None


def _named(name: str, tools: Sequence[Tool] | None) -> Function:
    for tool in tools or ():
        if tool.function.name == name:
            return tool.function
    param = "tool_choice.function.name"
    raise BadRequest(
        f"'{param}' must be the name of one of the 'tools', but it is {describe(name)}.",
        param=param,
        code=INVALID_VALUE,
    )
