"""The schemas of requests, as the OpenAPI document has them: what clients may really send."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

Schema = dict[str, Any]
Rules = tuple[Schema, ...]

_NULL = {"type": "null"}


class Plain(GenerateJsonSchema):
    """Without titles, which would repeat every field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def get_title_from_name(self, name: str) -> str:
        return name


def as_sent(
    schema: Schema, unsupported: Mapping[str, tuple[object, ...]], rules: Sequence[Schema]
) -> None:
    """Adds to the schema of an object what every StrictObject takes beside its fields' values: null
    for all that is optional, and of what is not supported the values that ask for nothing."""
    if rules:
        schema["allOf"] = list(rules)
    fields: dict[str, Schema] = schema["properties"]
    required = schema.get("required", ())
    for name, field in fields.items():
        if name not in required:
            fields[name] = _or_null(field)
    for name, noops in sorted(unsupported.items()):
        fields[name] = {"enum": [None, *noops], "description": "Not supported: leave it out."}


def given(*fields: str) -> Schema:
    """The rule that these are there."""
    some = {"properties": {field: {"not": _NULL} for field in fields}}
    return {"required": list(fields), **some}


def absent(*fields: str) -> Schema:
    """The rule that these are not there; null stands for that, too."""
    return {"properties": dict.fromkeys(fields, _NULL)}


def false(*fields: str) -> Schema:
    """The rule that these are not true, nor any number but 0."""
    return {"properties": {field: {"enum": [False, 0, None]} for field in fields}}


def is_(field: str, *values: object) -> Schema:
    """The rule that a field is there and has one of these values."""
    return {"required": [field], "properties": {field: {"enum": list(values)}}}


def only(field: str, *values: object) -> Schema:
    """The rule that a field has one of these values, or is not there."""
    return {"properties": {field: {"enum": [*values, None]}}}


def is_not(field: str, *values: object) -> Schema:
    """The rule that a field has none of these values."""
    return {"properties": {field: {"not": {"enum": list(values)}}}}


def either(*rules: Schema) -> Schema:
    """The rule that at least one of these holds."""
    return {"anyOf": list(rules)}


def both(*rules: Schema) -> Schema:
    """The rule that all of these hold."""
    return {"allOf": list(rules)}


def _or_null(field: Schema) -> Schema:
    beside: Schema = {key: field[key] for key in ("default", "description") if key in field}
    if beside.get("default", ...) is None:
        del beside["default"]  # null stands for an absent one anyway
    bare = {key: value for key, value in field.items() if key not in ("default", "description")}
    choices = [choice for choice in _choices(bare) if choice != _NULL]
    if len(choices) == 1 and choices[0].keys() & {"type", "enum", "const"} == {"type"}:
        return {**choices[0], "type": [choices[0]["type"], "null"], **beside}
    return {"anyOf": [*choices, _NULL], **beside}


def _choices(schema: Schema) -> list[Schema]:
    """What a schema gives to choose from, in whatever depth."""
    if schema.keys() != {"anyOf"}:
        return [schema]
    return [choice for inner in schema["anyOf"] for choice in _choices(inner)]
