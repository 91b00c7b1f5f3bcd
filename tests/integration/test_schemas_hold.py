"""What is taken of JSON Schema, xgrammar holds to: asked of it with random schemas."""

import importlib
import json
from collections.abc import Callable
from random import Random
from typing import Any

import jsonschema_rs
import pytest

from serve_app.http.parsing import Refused
from serve_app.http.schemas import check_keywords

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own

WHOLE = frozenset({"$ref", "allOf", "anyOf", "const", "enum"})
LEAVES: list[Any] = [
    *({"type": name} for name in ("array", "integer", "null", "object", "string")),
    {"$ref": "#/$defs/x"},
    {"const": 1},
    {"enum": ["a", 2]},
    {},
]
VALUES: list[Any] = [
    *(None, 1, 5, 9, "a", "aa", "aaaa", "b", "2020-01-01"),
    *([], [1], ["a"], [1, 1], [1, "a", 1], [[1]], [{"a": 1}]),
    *({}, {"a": 1}, {"a": "aa"}, {"b": 7}, {"a": 1, "b": "a"}, {"z": 1}, {"aa": 5}, {"a": [1]}),
]


def random_schema(choose: Random, depth: int) -> dict[str, Any]:
    """A few keywords, which need not make sense together."""
    if not depth:
        leaf: dict[str, Any] = choose.choice(LEAVES)
        return leaf

    def inner() -> dict[str, Any]:
        return random_schema(choose, depth - 1)

    keywords: dict[str, Callable[[], Any]] = {
        "$ref": lambda: "#/$defs/x",
        "additionalProperties": lambda: choose.choice([False, True, inner()]),
        "allOf": lambda: [inner()],
        "anyOf": lambda: [inner(), inner()],
        "const": lambda: choose.choice([1, "a", {"a": 1}]),
        "enum": lambda: [1, "aa", [1]],
        "exclusiveMaximum": lambda: 9,
        "format": lambda: "date",
        "items": inner,
        "maxItems": lambda: 2,
        "maxLength": lambda: 3,
        "maxProperties": lambda: 1,
        "minItems": lambda: 1,
        "minLength": lambda: 2,
        "minProperties": lambda: 1,
        "minimum": lambda: 3,
        "pattern": lambda: "^a+$",
        "patternProperties": lambda: {"^a": inner()},
        "prefixItems": lambda: [inner()],
        "properties": lambda: {"a": inner(), "b": inner()},
        "propertyNames": lambda: {"pattern": "^a+$"},
        "required": lambda: choose.choice([["a"], ["a", "b"], ["z"]]),
        "type": lambda: choose.choice(["array", "integer", "object", ["null", "string"]]),
        "unevaluatedItems": lambda: False,
        "unevaluatedProperties": lambda: False,
    }
    schema = {key: keywords[key]() for key in choose.sample(sorted(keywords), choose.randint(1, 3))}
    if schema.keys() & WHOLE:  # what a type beside these says is not looked at
        schema.pop("type", None)
    if "const" in schema:
        schema.pop("enum", None)
    return schema


def is_taken(schema: dict[str, Any]) -> bool:
    try:
        check_keywords(schema)
    except Refused:
        return False
    return True


@pytest.mark.parametrize("seed", range(4))
def test_no_text_is_let_through_that_the_schema_rules_out(seed: int) -> None:
    xgrammar = importlib.import_module("xgrammar")
    accepts = importlib.import_module("xgrammar.testing")._is_grammar_accept_string
    choose, tried = Random(seed), 0
    while tried < 250:
        schema = random_schema(choose, 2) | {"$defs": {"x": choose.choice(LEAVES[:5])}}
        if not is_taken(schema):
            continue
        try:
            grammar = xgrammar.Grammar.from_json_schema(json.dumps(schema))
        except RuntimeError:  # it says itself that it will not have it
            continue
        tried += 1
        rules = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        for value in VALUES:
            assert rules.is_valid(value) or not accepts(grammar, json.dumps(value)), schema
