"""What of JSON Schema the clients' tools write, and what must pass."""

import datetime
import enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from serve_app.http.schemas import check_keywords


class Kind(enum.Enum):
    A = "a"
    B = "b"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=1, le=9, description="How many are left")] = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    friends: list["Dog"] = []


class Report(BaseModel):
    model_config = ConfigDict(extra="forbid", title="A report")

    kind: Kind = Field(description="Which one")
    kinds: list[Literal["x", "y"]] | None = None
    pet: Cat | Dog = Field(discriminator="kind", title="Pet")
    code: Annotated[str, Field(pattern="^[A-Z]{2}$")] | None = None
    when: datetime.datetime | None = Field(None, examples=["2027-01-01T00:00:00Z"])
    scores: dict[str, Annotated[float, Field(gt=0)]] = {}
    names: Annotated[list[str], Field(min_length=1, max_length=3)]
    place: tuple[int, str]
    rest: Any = None


@pytest.mark.parametrize(
    "schema",
    [
        Report.model_json_schema(),
        {"type": ["string", "null"], "enum": ["a", None], "description": "x", "title": "y"},
        {"type": "string", "const": "a", "enum": ["a"]},
        {"$defs": {"a": {"type": "string"}}, "$ref": "#/$defs/a", "description": "x"},
        {"description": "x", "allOf": [{"type": "string", "maxLength": 3}], "default": "y"},
        {"type": "object", "anyOf": [{"properties": {"a": {}}, "required": ["a"]}]},
        {"properties": {"a": {"items": {}, "minItems": 1}}, "required": ["a"], "minProperties": 1},
        {"type": ["integer", "null"], "minimum": 5, "nullable": True},
        {"type": "object", "propertyNames": {"pattern": "^a"}, "additionalProperties": {}},
        {"type": "object", "patternProperties": {"^a": {"type": "string"}}},
    ],
    ids=lambda schema: "-".join(schema),
)
def test_what_holds_is_taken(schema: dict[str, Any]) -> None:
    check_keywords(schema)


@pytest.mark.parametrize("wrong", [{"required": [["a"]]}, {"required": 7}, {"properties": []}])
def test_what_is_no_schema_is_left_to_who_tries_it_out(wrong: dict[str, Any]) -> None:
    check_keywords({"type": "object", **wrong})
