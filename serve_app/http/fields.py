"""The types of the fields in a request's body, and the bounds of what clients may ask for."""

import re
from types import MappingProxyType
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, Discriminator, Field, Tag

from serve_app.http.parsing import (
    INVALID_TYPE,
    INVALID_VALUE,
    Refused,
    StrictObject,
    at_most,
    describe,
)

MAX_MESSAGES = 2048
MAX_PROMPTS = 16
MAX_N = 8
COMPLETION_MAX_TOKENS = 16
"""How much a completion generates at most if the client does not say; OpenAI's number."""

INT32_MAX = 2**31 - 1
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
_TOKEN_ID_TEXT = re.compile(r"0|[1-9][0-9]{0,9}")

Item = TypeVar("Item")


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


Quick = Annotated[list[Item], Field(fail_fast=True)]
"""A list whose first bad item is the only one reported, however many there are."""

Length = Annotated[int, Field(ge=0, le=INT32_MAX)]
PositiveLength = Annotated[int, Field(ge=1, le=INT32_MAX)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Alternatives = Annotated[int, Field(ge=0, le=20)]
TokenId = Annotated[int, Field(ge=0, le=INT32_MAX)]
Text = Annotated[str, Field(min_length=1)]
StopString = Annotated[str, Field(min_length=1, max_length=1024)]
StopStrings = Annotated[Quick[StopString], Field(max_length=4), BeforeValidator(_text_to_list)]
TokenIds = Annotated[Quick[TokenId], Field(min_length=1)]
LogitBias = Annotated[
    dict[
        Annotated[int, BeforeValidator(_token_id)],
        Annotated[float, Field(ge=-100, le=100)],
    ],
    at_most(1024),
]
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], at_most(16)
]


class StreamOptions(StrictObject):
    """What a stream carries beside the text."""

    unsupported = MappingProxyType(
        {"continuous_usage_stats": (False,), "include_obfuscation": (False,)}
    )

    include_usage: bool = False


def _prompt_kind(value: object) -> str | None:
    if isinstance(value, str):
        return "text"
    if not isinstance(value, list):
        return None
    # An empty array may be either; both say that it is too short.
    kinds = {int: "tokens", bool: "tokens", float: "tokens", list: "token_lists"}
    return kinds.get(type(value[0]), "texts") if value else "texts"


Prompt = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[TokenIds, Tag("tokens")]
    | Annotated[Quick[Text], Field(min_length=1, max_length=MAX_PROMPTS), Tag("texts")]
    | Annotated[Quick[TokenIds], Field(min_length=1, max_length=MAX_PROMPTS), Tag("token_lists")],
    Discriminator(
        _prompt_kind,
        custom_error_type=INVALID_TYPE,
        custom_error_message="must be a string, an array of token ids, or an array of those",
    ),
]
