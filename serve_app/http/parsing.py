"""Reads JSON bodies into strict models, and says in one sentence what is wrong with one."""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, from_json

from deployments.errors import BadRequest
from serve_app.http.openapi_requests import as_sent
from serve_app.limits import DEFAULT_LIMITS, Limits

INVALID_JSON = "invalid_json"
INVALID_TYPE = "invalid_type"
INVALID_VALUE = "invalid_value"
MISSING_PARAMETER = "missing_required_parameter"
UNKNOWN_PARAMETER = "unknown_parameter"
UNSUPPORTED_PARAMETER = "unsupported_parameter"

Model = TypeVar("Model", bound=BaseModel)
Noops = tuple[object, ...]

_MAX_CHARS = 100  # of what the client sent, in a message or a path
_MAX_STRAYS = 32  # unknown keys in one object

_EXPECTATIONS: Mapping[str, tuple[str, str]] = {
    "bool_type": (INVALID_TYPE, "must be true or false"),
    "dict_type": (INVALID_TYPE, "must be an object"),
    "float_type": (INVALID_TYPE, "must be a number"),
    "int_type": (INVALID_TYPE, "must be an integer"),
    "list_type": (INVALID_TYPE, "must be an array"),
    "model_type": (INVALID_TYPE, "must be an object"),
    "string_type": (INVALID_TYPE, "must be a string"),
    "finite_number": (INVALID_VALUE, "must be a finite number"),
    "greater_than": (INVALID_VALUE, "must be greater than {gt}"),
    "greater_than_equal": (INVALID_VALUE, "must be at least {ge}"),
    "less_than_equal": (INVALID_VALUE, "must be at most {le}"),
    "literal_error": (INVALID_VALUE, "must be {expected}"),
    "string_too_long": (INVALID_VALUE, "must have a length of at most {max_length}"),
    "string_pattern_mismatch": (INVALID_VALUE, "must match {pattern}"),
    "string_too_short": (INVALID_VALUE, "must have a length of at least {min_length}"),
    "too_long": (INVALID_VALUE, "must have a length of at most {max_length}"),
    "too_short": (INVALID_VALUE, "must have a length of at least {min_length}"),
}
"""By pydantic's type of error: our code, and what the field has to be."""


class Refused(ValueError):
    """What a model's validator raises: `predicate` completes the sentence that a field begins.

    `field` names one of the keys when it is an object that is validated.
    """

    def __init__(self, predicate: str, code: str, *, field: str | None = None) -> None:
        super().__init__(predicate)
        self.predicate = predicate
        self.code = code
        self.field = field


class StrictObject(BaseModel):
    """A JSON object in which every key counts, and null stands for an absent one."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,  # they stand in the OpenAPI document
    )

    unsupported: ClassVar[Mapping[str, Noops]] = MappingProxyType({})
    """What the API has and this server has not, each with the values that ask for nothing."""

    rules: ClassVar[Sequence[dict[str, Any]]] = ()
    """What fields ask of each other, as far as JSON Schema can tell it: for the OpenAPI document,
    as validators say it in words. A class adds to those of its bases."""

    _keys: ClassVar[frozenset[str]] = frozenset()
    """The fields as clients spell them."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        cls._keys = frozenset(field.alias or name for name, field in cls.model_fields.items())

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        reference = handler(schema)
        rules = [rule for base in reversed(cls.__mro__) for rule in vars(base).get("rules", ())]
        as_sent(handler.resolve_ref_schema(reference), cls.unsupported, rules)
        return reference

    @model_validator(mode="before")
    @classmethod
    def _keep_what_counts(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        fields = cls._keys
        kept = {}
        for name, given in value.items():
            if name in cls.unsupported:
                _refuse_unless_noop(name, given, cls.unsupported[name])
            elif given is not None or name not in fields:
                kept[name] = given
        # Pydantic reports unknown keys, after what is wrong with known ones; it collects them all,
        # though, which a million of them must not make it do.
        if len(kept) > len(fields) + _MAX_STRAYS:
            unknown = next(name for name in kept if name not in fields)
            raise Refused("is not a known parameter", UNKNOWN_PARAMETER, field=unknown)
        return kept


def never(names: str) -> dict[str, Noops]:
    """For `unsupported`: fields of which no value but null asks for nothing."""
    return dict.fromkeys(names.split(), ())


def _refuse_unless_noop(name: str, given: object, noops: Noops) -> None:
    # The types are compared as well, because True equals 1.
    if given is None or any(type(given) is type(noop) and given == noop for noop in noops):
        return
    allowed = " or ".join(["null", *map(json.dumps, noops)])
    raise Refused(
        f"is not supported yet: it must be left out, or be {allowed}",
        UNSUPPORTED_PARAMETER,
        field=name,
    )


def at_most(limit: int) -> BeforeValidator:
    """Bounds an object before its entries are looked at; pydantic would do so afterwards."""

    def check(value: object) -> object:
        if isinstance(value, dict) and len(value) > limit:
            raise Refused(f"must have at most {limit} entries, not {len(value)}", INVALID_VALUE)
        return value

    return BeforeValidator(check)


def not_yet(*choices: str) -> BeforeValidator:
    """Tells values that the API has and this server has not from those that nobody has."""

    def check(value: object) -> object:
        if isinstance(value, str) and value in choices:
            raise Refused(f"must not be '{value}': it is not supported yet", UNSUPPORTED_PARAMETER)
        return value

    return BeforeValidator(check)


def invalid(field: str, predicate: str) -> BadRequest:
    """What is wrong with a field that can only be told beside others. Validators may raise it, too:
    pydantic lets through what is no ValueError."""
    return BadRequest(f"'{field}' {predicate}.", param=field)


def parse(model: type[Model], body: bytes, limits: Limits = DEFAULT_LIMITS) -> Model:
    """The body as `model`; raises `BadRequest`, whatever the body is."""
    content = _read_object(body)
    try:
        return model.model_validate(content, context=limits)
    except ValidationError as error:
        raise _bad_request(error, content) from None


def describe(value: object) -> str:
    """What the client sent, in a few words: text is shortened, and arrays and objects not shown."""
    match value:
        case str():
            return f"the string {json.dumps(_shortened(value), ensure_ascii=False)}"
        case list():
            return f"an array of {len(value)}" if value else "an empty array"
        case dict():
            return "an object"
        case _:
            return _shortened(json.dumps(value))


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        # Unlike json.loads it refuses what is not UTF-8, lone surrogates (no tokenizer takes
        # them), NaN, and arrays or objects deeper than 200, before anything can overflow.
        content = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise BadRequest(f"The body is not valid JSON: {error}.", code=INVALID_JSON) from None
    if not isinstance(content, dict):
        raise BadRequest(
            f"The body must be a JSON object, but it is {describe(content)}.", code=INVALID_TYPE
        )
    return content


def _bad_request(error: ValidationError, body: dict[str, Any]) -> BadRequest:
    first = error.errors(include_url=False)[0]
    code, predicate, field = _diagnosis(first)
    steps = first["loc"] if field is None else (*first["loc"], field)
    path = _path(steps, body)
    return BadRequest(f"'{path}' {predicate}.", param=path, code=code)


def _diagnosis(error: ErrorDetails) -> tuple[str, str, str | None]:
    """Code and predicate, and the key at fault if the error is about an object."""
    kind = error["type"]
    context = error.get("ctx", {})
    refused = context.get("error")
    if isinstance(refused, Refused):
        return refused.code, refused.predicate, refused.field
    if kind == "missing":
        return MISSING_PARAMETER, "is required", None
    if kind == "extra_forbidden":
        return UNKNOWN_PARAMETER, "is not a known parameter", None
    if kind == INVALID_TYPE:  # from a union of ours, which brings its own words
        code, expected = INVALID_TYPE, error["msg"]
    else:
        code, template = _EXPECTATIONS.get(kind, (INVALID_VALUE, "is not valid"))
        plain = {k: f"{v:g}" if isinstance(v, float) else v for k, v in context.items()}
        expected = template.format_map(plain)
    return code, f"{expected}, but it is {describe(error['input'])}", None


def _path(steps: tuple[int | str, ...], body: object) -> str:
    """Pydantic's location as `messages[0].content`, without what is no part of the body.

    Pydantic also names the branches of unions. They lead nowhere in the body, which tells them
    from the client's keys, whatever those are.
    """
    path = ""
    for step in steps:
        if isinstance(step, str) and isinstance(body, dict):
            name = _shortened(step)
            path += f".{name}" if path else name
            body = body.get(step)
        elif isinstance(step, int) and isinstance(body, list):
            path += f"[{step}]"
            body = body[step]
    return path


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_CHARS else text[: _MAX_CHARS - 1] + "…"
