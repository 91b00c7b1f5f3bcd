"""What all pooling endpoints may be asked for. Names and meanings are OpenAI's, beyond them vLLM's.

As everywhere, a field is honoured or the request refused with an error that names it; only `user`
changes nothing.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, Tag, model_validator

from deployments.input_encoding import Cut, Text
from serve_app.http import truncation
from serve_app.http.fields import ITS_KIND, ModelName, Quick, TokenIds
from serve_app.http.fields import Text as SomeText
from serve_app.http.limiting import LengthWithin
from serve_app.http.openapi_requests import Rules
from serve_app.http.parsing import Noops, StrictObject, never

_UNSUPPORTED: Mapping[str, Noops] = {
    **never("cache_salt mm_processor_kwargs normalize request_id"),
    "padding": ("do_not_pad",),
    "priority": (0,),
}

Input = Annotated[
    Annotated[SomeText, Tag("text")]
    | Annotated[TokenIds, Tag("tokens")]
    | Annotated[Quick[SomeText], Field(min_length=1), LengthWithin("inputs"), Tag("texts")]
    | Annotated[Quick[TokenIds], Field(min_length=1), LengthWithin("inputs"), Tag("token_lists")],
    ITS_KIND,
]


class PoolingRequest(StrictObject):
    """What they share: which model, and how long an input may be."""

    unsupported = MappingProxyType(_UNSUPPORTED)
    rules: ClassVar[Rules] = truncation.RULES

    model: ModelName
    truncate_prompt_tokens: Annotated[int, Field(ge=-1)] | None = None
    """To how many tokens a longer input is cut, the special ones included; -1: the model's most."""
    truncation_side: Literal["left", "right"] | None = None
    use_activation: bool | None = None
    """False: embeddings as they are, not normalized, and logits instead of probabilities."""
    user: str | None = None

    def cut(self, context: int) -> Cut | None:
        """How inputs are cut for a model of that context; raises BadRequest."""
        length = self.truncate_prompt_tokens
        if length is None:
            return None
        truncation.check_context(length, context)
        return Cut(context if length == -1 else length, self.truncation_side)

    @model_validator(mode="after")
    def _truncation_agrees_with_itself(self) -> Self:
        truncation.check_truncation(self.truncate_prompt_tokens, self.truncation_side)
        return self


class InputRequest(PoolingRequest):
    """And for those that take inputs one by one: what they are."""

    unsupported = MappingProxyType(
        {
            **_UNSUPPORTED,
            **never(
                "add_generation_prompt chat_template chat_template_kwargs continue_final_message "
                "media_io_kwargs messages"
            ),
        }
    )

    input: Input
    add_special_tokens: bool = True

    @property
    def inputs(self) -> list[Text]:
        """All of them: texts, or tokens that the client made itself."""
        given: Any = self.input  # the first item tells the kind of all, which no type can say
        return [given] if self.is_single else given

    @property
    def is_single(self) -> bool:
        """Whether it is one input and no array of them."""
        return isinstance(self.input, str) or isinstance(self.input[0], int)
