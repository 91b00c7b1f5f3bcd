"""JSON schemas that clients send: their limits, and what of them would not hold.

What the engines' grammars (xgrammar's) pass over in silence is refused by name. vLLM looks for most
of it, too, but only in an engine, and in fewer places. Read against vLLM 0.32.0, xgrammar 0.2.8.
"""

import json
from typing import Annotated, Any

from pydantic import Field, ValidationInfo

from serve_app.http.limiting import limits_of
from serve_app.http.parsing import (
    INVALID_TYPE,
    INVALID_VALUE,
    UNSUPPORTED_PARAMETER,
    Refused,
    describe,
)

Name = Annotated[str, Field(pattern="^[a-zA-Z0-9_-]{1,64}$")]

_UNENFORCED = frozenset(
    ("$dynamicRef", "contains", "dependencies", "dependentRequired", "dependentSchemas", "if")
) | {"maxContains", "minContains", "multipleOf", "not"}
_WHOLE = frozenset(("$ref", "allOf", "anyOf", "const", "enum", "oneOf"))
"""The first of these that xgrammar finds is all that it reads of a schema."""
_TELL_A_TYPE = frozenset(("additionalProperties", "items", "prefixItems", "properties")) | {
    "unevaluatedItems",
    "unevaluatedProperties",
}
"""A schema with one of these is one of objects or arrays, even if it does not say so."""
_NEED_A_TYPE = (
    frozenset(("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum"))
    | {"format", "maxLength", "minLength", "pattern"}
    | {"additionalItems", "maxItems", "minItems"}
    | {"maxProperties", "minProperties", "patternProperties", "propertyNames", "required"}
)
_NOT_TOGETHER = (
    *((first, second) for first in ("format", "pattern") for second in ("minLength", "maxLength")),
    ("format", "pattern"),
    *(("propertyNames", second) for second in ("patternProperties", "properties")),
    ("patternProperties", "properties"),
)
_AT_MOST_ONE = ("allOf", "patternProperties")
_FORMATS = frozenset(
    ("date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "json-pointer")
) | {"relative-json-pointer", "time", "uri", "uri-reference", "uri-template", "uuid"}
_NAMES_TO_SCHEMAS = frozenset({"$defs", "definitions", "patternProperties", "properties"})
_DATA = frozenset({"const", "default", "discriminator", "enum", "example", "examples"})


def schema_text(schema: object, info: ValidationInfo) -> str:
    """`schema` as compact JSON; raises Refused when it is none, beyond the limits, or would not
    hold."""
    if not isinstance(schema, dict):
        raise Refused(f"must be an object, but it is {describe(schema)}", INVALID_TYPE)
    text = bounded_schema(schema, info)
    check_keywords(schema)
    return text


def bounded_schema(schema: dict[str, Any], info: ValidationInfo) -> str:
    """`schema` as compact JSON; raises Refused beyond the limits."""
    limits = limits_of(info)
    return bounded_json(schema, limits.schema_bytes, limits.schema_depth)


def compact_json(value: object) -> str:
    """`value` as JSON without spaces; raises ValueError for what is no number."""
    # Its recursion is bounded: no body nests deeper than parsing lets it.
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def bounded_json(value: dict[str, Any], max_bytes: int, max_depth: int) -> str:
    """`value` as compact JSON; raises Refused beyond the limits."""
    try:
        text = compact_json(value)
    except ValueError:
        raise Refused("must hold finite numbers only", INVALID_VALUE) from None
    size = len(text.encode())
    if size > max_bytes:
        raise Refused(f"must have at most {max_bytes} bytes as JSON, not {size}", INVALID_VALUE)
    if _is_deeper_than(max_depth, value):
        raise Refused(f"must not nest objects and arrays deeper than {max_depth}", INVALID_VALUE)
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


def check_keywords(schema: Any) -> None:
    """Raises Refused for what would be accepted and then not hold, wherever it is."""
    inner: list[Any] = [schema]
    while inner:
        node = inner.pop()
        if isinstance(node, list):
            inner += node
            continue
        if not isinstance(node, dict):
            continue
        problem = _problem(node)
        if problem is not None:
            raise Refused(problem, UNSUPPORTED_PARAMETER)
        for key, value in node.items():
            if key in _NAMES_TO_SCHEMAS and isinstance(value, dict):
                inner += value.values()
            elif key == "propertyNames" and isinstance(value, dict):
                inner.append({"type": "string", **value})  # no name is anything else
            elif key not in _DATA:
                inner.append(value)


def _problem(node: dict[str, Any]) -> str | None:
    """What of one schema, those within it aside, would not hold."""
    return _unknown(node) or _clash(node) or _unread(node) or _unlisted(node)


def _unknown(node: dict[str, Any]) -> str | None:
    """What xgrammar does not know, or takes for something else."""
    for key in node.keys() & _UNENFORCED:
        return f'must not use "{key}": it is not supported'
    for key in _AT_MOST_ONE:
        if isinstance(node.get(key), (dict, list)) and len(node[key]) > 1:
            return f'must not have more than one in "{key}": it is not supported'
    if node.get("uniqueItems", False) is not False:
        return 'must not use "uniqueItems": it is not supported'
    text_format = node.get("format", "date")
    if "string" in _types(node) and not (isinstance(text_format, str) and text_format in _FORMATS):
        return f'must have each "format" be one of {", ".join(sorted(_FORMATS))}'
    reference = node.get("$ref", "#")
    if not (reference == "#" or str(reference).startswith("#/")):
        return 'must have each "$ref" be "#" or begin with "#/"'
    return None


def _clash(node: dict[str, Any]) -> str | None:
    """Which two of one schema xgrammar does not hold together."""
    for first, second in _NOT_TOGETHER:
        if first in node and second in node:
            return f'must not use "{first}" beside "{second}": it is not supported'
    if "propertyNames" in node:
        if node.get("unevaluatedProperties", True) is not True:
            return 'must not use "unevaluatedProperties" beside "propertyNames"'
        if node.get("additionalProperties") is False:
            return 'must not use "additionalProperties": false beside "propertyNames"'
    return None


def _unread(node: dict[str, Any]) -> str | None:
    """What of one schema xgrammar would not look at."""
    limits = sorted(node.keys() & (_NEED_A_TYPE | _TELL_A_TYPE))
    if "format" in limits and "type" in node and "string" not in _types(node):
        limits.remove("format")  # it limits no number
    whole = sorted(node.keys() & _WHOLE)
    if "const" in whole and "enum" in whole:
        whole.remove("enum")  # it says less; pydantic writes both
    for key in [*whole[1:], *limits] if whole else ():
        return f'must not use "{key}" beside "{whole[0]}": it is not supported'
    if "type" not in node and not node.keys() & _TELL_A_TYPE:
        for key in limits:
            return f'must have a "type" beside "{key}"'
    return None


def _unlisted(node: dict[str, Any]) -> str | None:
    """The required property that one schema does not describe."""
    required, properties = node.get("required"), node.get("properties", {})
    if isinstance(required, list) and isinstance(properties, dict):
        for name in required:
            if isinstance(name, str) and name not in properties:
                return 'must have each name in "required" among the "properties"'
    return None


def _types(node: dict[str, Any]) -> list[Any]:
    types = node.get("type")
    return types if isinstance(types, list) else [types]


def with_root_at(place: str, schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` as a part of another, at `place` in it (`#/...`): its references find it there."""

    def moved(node: Any) -> Any:
        if isinstance(node, list):
            return [moved(item) for item in node]
        if not isinstance(node, dict):
            return node
        inner: dict[str, Any] = {}
        for key, value in node.items():
            if key == "$ref":
                inner[key] = place + str(value).removeprefix("#")
            elif key in _NAMES_TO_SCHEMAS and isinstance(value, dict):
                inner[key] = {name: moved(named) for name, named in value.items()}
            else:
                inner[key] = value if key in _DATA else moved(value)
        return inner

    result: dict[str, Any] = moved(schema)
    return result
