"""What an answer has to look like: `response_format`, and vLLM's `structured_outputs`."""

from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator
from pydantic_core import from_json

from deployments.messages import StructuredOutputs
from serve_app.http.fields import Quick
from serve_app.http.limiting import LengthWithin, limits_of
from serve_app.http.openapi_requests import Rules, absent, both, either, given, is_, is_not
from serve_app.http.parsing import (
    INVALID_TYPE,
    INVALID_VALUE,
    MISSING_PARAMETER,
    Refused,
    StrictObject,
    describe,
    never,
)
from serve_app.http.schemas import (
    Name,
    bounded_json,
    check_keywords,
    compact_json,
    schema_text,
)

_TAGS_AROUND_SCHEMAS = 16
"""So many levels deeper than a schema may a structural tag nest, which has schemas in it."""


class JsonSchema(StrictObject):
    """A schema and what OpenAI has beside it.

    Every schema is enforced, which is all that `strict` asks for when it is true, and more than
    when it is false. `name` and `description` are labels.
    """

    name: Name
    description: str | None = None
    text: (
        Annotated[str, BeforeValidator(schema_text, json_schema_input_type=dict[str, Any])] | None
    ) = Field(None, alias="schema")
    strict: bool | None = None


def _read(value: object) -> object:
    """Where vLLM takes JSON as text: what the text says."""
    if not isinstance(value, str):
        return value
    try:
        return from_json(value, allow_inf_nan=False)
    except ValueError as error:
        raise Refused(f"is not valid JSON: {error}", INVALID_VALUE) from None


def _schema_or_text(value: object, info: ValidationInfo) -> str:
    return schema_text(_read(value), info)


def _tag_text(value: object, info: ValidationInfo) -> str:
    tag = _read(value)
    if not isinstance(tag, dict):
        raise Refused(f"must be an object, but it is {describe(tag)}", INVALID_TYPE)
    limits = limits_of(info)
    text = bounded_json(tag, limits.schema_bytes, limits.schema_depth + _TAGS_AROUND_SCHEMAS)
    check_keywords(list(tag.values()))  # it is no schema itself: its own `format` is no text's
    if "structures" in tag and not _is_whole(tag):
        raise Refused(
            "must have 'triggers', an array of strings, beside 'structures', each of which has "
            "'begin', 'schema' and 'end'",
            INVALID_VALUE,
        )
    return text


def _is_whole(tag: dict[str, Any]) -> bool:
    """Whether a structural tag of the old spelling has all that vLLM looks for."""
    structures, triggers = tag["structures"], tag.get("triggers")
    return (
        isinstance(structures, list)
        and isinstance(triggers, list)
        and all(isinstance(trigger, str) for trigger in triggers)
        and all(
            isinstance(each, dict)
            and isinstance(each.get("begin"), str)
            and isinstance(each.get("schema"), dict)
            and isinstance(each.get("end"), str)
            for each in structures
        )
    )


_FIELDS_OF_TYPES = {
    "json_schema": {"json_schema"},
    "structural_tag": {"format", "structures", "triggers"},
}


class ResponseFormat(StrictObject):
    """The form of the answer.

    A structural tag, which is vLLM's, gives form to what stands between tags; its old spelling has
    `structures` and `triggers`, and the new one `format`.
    """

    rules: ClassVar[Rules] = (
        either(
            both(
                is_("type", "text", "json_object"),
                absent("json_schema", "format", "structures", "triggers"),
            ),
            both(
                is_("type", "json_schema"),
                given("json_schema"),
                absent("format", "structures", "triggers"),
            ),
            both(
                is_("type", "structural_tag"),
                absent("json_schema"),
                either(
                    both(given("format"), absent("structures", "triggers")),
                    both(given("structures", "triggers"), absent("format")),
                ),
            ),
        ),
    )

    type: Literal["text", "json_object", "json_schema", "structural_tag"]
    json_schema: JsonSchema | None = None
    format: dict[str, Any] | None = None
    structures: Quick[dict[str, Any]] | None = None
    triggers: Quick[str] | None = None

    @property
    def structured_outputs(self) -> StructuredOutputs | None:
        """The form for the engine; None is free text."""
        if self.type == "text":
            return None
        if self.type == "structural_tag":
            return StructuredOutputs(structural_tag=compact_json(self._tag))
        if self.json_schema is None or self.json_schema.text is None:
            return StructuredOutputs(json_object=True)
        return StructuredOutputs(json=self.json_schema.text)

    @property
    def _tag(self) -> dict[str, Any]:
        given = {"format": self.format, "structures": self.structures, "triggers": self.triggers}
        kept = {name: value for name, value in given.items() if value is not None}
        return {"type": self.type, **kept}

    @model_validator(mode="after")
    def _has_what_its_type_needs(self, info: ValidationInfo) -> Self:
        given = self.model_fields_set - {"type"}
        for field in sorted(given - _FIELDS_OF_TYPES.get(self.type, set())):
            wanted = next(name for name, fields in _FIELDS_OF_TYPES.items() if field in fields)
            raise Refused(f"needs 'type' to be \"{wanted}\"", INVALID_VALUE, field=field)
        if self.type == "json_schema" and self.json_schema is None:
            raise Refused("is required", MISSING_PARAMETER, field="json_schema")
        if self.type == "structural_tag":
            if given not in ({"format"}, {"structures", "triggers"}):
                raise Refused(
                    "is required, or 'structures' and 'triggers'", MISSING_PARAMETER, field="format"
                )
            _tag_text(self._tag, info)
        return self


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise Refused("must not contain a NUL character", INVALID_VALUE)
    return text


def _short_together(texts: list[str], info: ValidationInfo) -> list[str]:
    limit = limits_of(info).schema_bytes
    if (size := sum(len(text.encode()) for text in texts)) > limit:
        raise Refused(f"must have at most {limit} bytes together, not {size}", INVALID_VALUE)
    return texts


def _says_something(grammar: str, info: ValidationInfo) -> str:
    limit = limits_of(info).grammar_bytes
    if (size := len(grammar.encode())) > limit:
        raise Refused(f"must have at most {limit} bytes, not {size}", INVALID_VALUE)
    if not grammar.strip():
        raise Refused("must not be empty", INVALID_VALUE)
    return grammar


def _true(value: bool) -> bool:
    if not value:
        raise Refused("must be true, or be left out", INVALID_VALUE)
    return value


_FORMS = ("json", "json_object", "regex", "choice", "grammar", "structural_tag")


class Constraint(StrictObject):
    """vLLM's `structured_outputs`: what the generated text has to look like, in one of these ways.

    Where vLLM takes JSON as text, an object will do as well.
    """

    unsupported = MappingProxyType(
        {
            **never("whitespace_pattern"),
            "disable_additional_properties": (False,),
            "disable_any_whitespace": (False,),
        }
    )

    rules: ClassVar[Rules] = (
        {"oneOf": [given(form) for form in _FORMS]},
        is_not("json_object", False),
    )

    schema_: (
        Annotated[
            str, BeforeValidator(_schema_or_text, json_schema_input_type=dict[str, Any] | str)
        ]
        | None
    ) = Field(None, alias="json")
    json_object: Annotated[bool, AfterValidator(_true)] | None = None
    regex: Annotated[str, LengthWithin("regex_chars"), AfterValidator(_without_nul)] | None = None
    choice: (
        Annotated[
            Quick[str],
            Field(min_length=1),
            LengthWithin("choices"),
            AfterValidator(_short_together),
        ]
        | None
    ) = None
    """One of these texts."""
    grammar: Annotated[str, AfterValidator(_says_something)] | None = None
    """In EBNF, or in Lark's syntax."""
    structural_tag: (
        Annotated[str, BeforeValidator(_tag_text, json_schema_input_type=dict[str, Any] | str)]
        | None
    ) = None

    @property
    def structured_outputs(self) -> StructuredOutputs:
        """The form for the engine."""
        return StructuredOutputs(
            json=self.schema_,
            json_object=bool(self.json_object),
            structural_tag=self.structural_tag,
            regex=self.regex,
            choice=None if self.choice is None else tuple(self.choice),
            grammar=self.grammar,
        )

    @model_validator(mode="after")
    def _is_one_form(self) -> Self:
        if len(self.model_fields_set) != 1:
            names = ", ".join(sorted(self._keys))
            raise Refused(f"must have exactly one of {names}", INVALID_VALUE)
        return self
