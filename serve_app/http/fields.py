"""The types of the fields in a request's body, and the bounds of what clients may ask for."""

import re
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from serve_app.http.limiting import LengthWithin, ValueWithin
from serve_app.http.openapi_requests import Rules, either, false, is_
from serve_app.http.parsing import (
    INVALID_TYPE,
    INVALID_VALUE,
    Refused,
    StrictObject,
    at_most,
    describe,
)

COMPLETION_MAX_TOKENS = 16
"""How much a completion generates at most if the client does not say; OpenAI's number."""

INT32_MAX = 2**31 - 1
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
_TOKEN_ID_TEXT = re.compile(r"0|[1-9][0-9]{0,9}")

Item = TypeVar("Item")


class OneOrMany:
    """An annotation of an array of texts: a text by itself stands for an array of it."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_text_to_list, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        array = handler(schema)
        return {"anyOf": [array["items"], array]}


def _text_to_list(value: object) -> object:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return value
    raise Refused(
        f"must be a string or an array of strings, but it is {describe(value)}", INVALID_TYPE
    )


def _token_id(text: str) -> int:
    # Two spellings of one id ("7" and "07") would hide one of the two values.
    if not _TOKEN_ID_TEXT.fullmatch(text) or int(text) > INT32_MAX:
        raise Refused("is not a token id, which every key has to be", INVALID_VALUE)
    return int(text)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise Refused("must not be blank", INVALID_VALUE)
    return text


ModelName = Annotated[str, Field(min_length=1, max_length=256)]

Quick = Annotated[list[Item], Field(fail_fast=True)]
"""A list whose first bad item is the only one reported, however many there are."""

Length = Annotated[int, Field(ge=0, le=INT32_MAX)]
PositiveLength = Annotated[int, Field(ge=1, le=INT32_MAX)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Alternatives = Annotated[int, Field(ge=0), ValueWithin("top_logprobs")]
TokenId = Annotated[int, Field(ge=0, le=INT32_MAX)]
Text = Annotated[str, Field(min_length=1)]
StopString = Annotated[str, Field(min_length=1, max_length=1024)]
StopStrings = Annotated[Quick[StopString], LengthWithin("stop"), OneOrMany()]
BadWord = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_not_blank)]
BadWords = Annotated[Quick[BadWord], LengthWithin("bad_words")]
Label = Annotated[str, Field(max_length=256)]
TokenIds = Annotated[Quick[TokenId], Field(min_length=1)]
LogitBias = Annotated[
    dict[
        Annotated[int, BeforeValidator(_token_id)],
        Annotated[float, Field(ge=-100, le=100)],
    ],
    LengthWithin("logit_bias"),
    Field(json_schema_extra={"propertyNames": {"pattern": f"^({_TOKEN_ID_TEXT.pattern})$"}}),
]
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
    Field(max_length=16),
    at_most(16),
]


class StreamOptions(StrictObject):
    """What a stream carries beside the text."""

    rules: ClassVar[Rules] = (either(false("continuous_usage_stats"), is_("include_usage", True)),)

    include_usage: bool = False
    continuous_usage_stats: bool = False
    """Whether each event of a choice has its usage so far, beside that at the end; vLLM's."""
    include_obfuscation: bool = False
    """Whether events are padded, so that their sizes do not tell what they say."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.continuous_usage_stats and not self.include_usage:
            raise Refused(
                "needs 'include_usage' to be true", INVALID_VALUE, field="continuous_usage_stats"
            )
        return self


def _prompt_kind(value: object) -> str | None:
    if isinstance(value, str):
        return "text"
    if not isinstance(value, list):
        return None
    # An empty array may be either; both say that it is too short.
    kinds = {int: "tokens", bool: "tokens", float: "tokens", list: "token_lists"}
    return kinds.get(type(value[0]), "texts") if value else "texts"


ITS_KIND = Discriminator(
    _prompt_kind,
    custom_error_type=INVALID_TYPE,
    custom_error_message="must be a string, an array of token ids, or an array of those",
)
"""Which one of these a value is: a text, its tokens, or an array of either."""

Prompt = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[TokenIds, Tag("tokens")]
    | Annotated[Quick[Text], Field(min_length=1), LengthWithin("prompts"), Tag("texts")]
    | Annotated[Quick[TokenIds], Field(min_length=1), LengthWithin("prompts"), Tag("token_lists")],
    ITS_KIND,
]
