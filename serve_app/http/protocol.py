"""What clients may ask for: the bodies of both endpoints, and their translation into `Sampling`.

A field is honoured, or the request is refused with an error that names it: nothing is accepted and
then ignored. Only `user` and `metadata` change nothing, because OpenAI defines them as mere labels.
Null always means "not given". Names and meanings are OpenAI's, beyond that those of vLLM.
"""

import re
from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

import msgspec
from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from deployments.errors import BadRequest
from deployments.messages import Sampling
from serve_app.http.parsing import (
    INVALID_TYPE,
    INVALID_VALUE,
    Noops,
    Refused,
    StrictObject,
    at_most,
    describe,
    never,
    not_yet,
    parse,
)

MAX_MESSAGES = 2048
MAX_PROMPTS = 16
MAX_N = 8
COMPLETION_MAX_TOKENS = 16
"""How much a completion generates at most if the client does not say; OpenAI's number."""

_INT32_MAX = 2**31 - 1
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
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
    if not _TOKEN_ID_TEXT.fullmatch(text) or int(text) > _INT32_MAX:
        raise Refused("is not a token id, which every key has to be", INVALID_VALUE)
    return int(text)


Quick = Annotated[list[Item], Field(fail_fast=True)]
"""A list whose first bad item is the only one reported, however many there are."""

Length = Annotated[int, Field(ge=0, le=_INT32_MAX)]
PositiveLength = Annotated[int, Field(ge=1, le=_INT32_MAX)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Alternatives = Annotated[int, Field(ge=0, le=20)]
TokenId = Annotated[int, Field(ge=0, le=_INT32_MAX)]
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


_UNSUPPORTED: Mapping[str, Noops] = {
    **never(
        "allowed_token_ids cache_salt ec_transfer_params kv_transfer_params length_penalty "
        "logprob_token_ids prompt_logprobs repetition_detection request_id session_id "
        "stream_interval structured_outputs thinking_token_budget truncate_prompt_tokens "
        "truncation_side vllm_xargs watermarking"
    ),
    "bad_words": ([],),
    "priority": (0,),
    "return_tokens_as_token_ids": (False,),
    "use_beam_search": (False,),
}
"""vLLM's, on both endpoints."""


class GenerationRequest(StrictObject):
    """What both endpoints share: which model, how to sample and how to answer."""

    fallback_max_tokens: ClassVar[int | None] = None

    model: Annotated[str, Field(min_length=1, max_length=256)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=MAX_N)] = 1
    max_tokens: PositiveLength | None = None
    min_tokens: Length = 0
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=_INT32_MAX)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    repetition_penalty: Annotated[float, Field(gt=0)] | None = None
    logit_bias: LogitBias | None = None
    seed: Annotated[int, Field(ge=_INT64_MIN, le=_INT64_MAX)] | None = None
    """As in vLLM, -1 asks for a random one."""
    stop: StopStrings = Field(default_factory=list)
    stop_token_ids: Annotated[Quick[TokenId], Field(max_length=64)] = Field(default_factory=list)
    ignore_eos: bool = False
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    include_stop_str_in_output: bool = False
    return_token_ids: bool = False
    """Whether every choice also brings the ids of its tokens; vLLM's."""
    user: str | None = None

    @property
    def include_usage(self) -> bool:
        """Whether the stream ends with a chunk that holds the usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def requested_max_tokens(self) -> int | None:
        """How much the client wants per sequence; the caller compares it with the context."""
        return self.max_tokens

    @property
    @abstractmethod
    def sample_logprobs(self) -> int | None:
        """How many alternatives to report per generated token; None for no logprobs at all."""

    @property
    def prompt_logprobs(self) -> int | None:
        """The same for the tokens of the prompt."""
        return None

    def sampling(self, *, default: Mapping[str, Any], max_tokens: int) -> Sampling:
        """How to sample each sequence of this request.

        `default` holds the model's own parameters, for what the client left out; `max_tokens` is
        what the prompt leaves of the context. A request that names no length gets all of that, or
        the model's default if it is less (and a completion no more than 16). The length that a
        client names is taken as it is: the caller has checked that it fits.
        """
        length = self._length(default, max_tokens)
        if self.min_tokens > length:
            raise _min_tokens_beyond(length)

        def chosen(name: str, otherwise: float) -> Any:
            return next(
                (v for v in (getattr(self, name), default.get(name)) if v is not None), otherwise
            )

        return Sampling(
            max_tokens=max(1, length),  # vLLM generates at least one, even if only to be dropped
            min_tokens=self.min_tokens,
            temperature=float(chosen("temperature", 1.0)),
            top_p=float(chosen("top_p", 1.0)),
            top_k=max(0, chosen("top_k", 0)),  # -1 is vLLM's older word for 0, no limit
            min_p=float(chosen("min_p", 0.0)),
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            repetition_penalty=float(chosen("repetition_penalty", 1.0)),
            seed=None if self.seed == -1 else self.seed,
            stop=tuple(self.stop),
            stop_token_ids=tuple(self.stop_token_ids),
            ignore_eos=self.ignore_eos,
            logprobs=self.sample_logprobs,
            prompt_logprobs=self.prompt_logprobs,
            logit_bias=self.logit_bias or None,
            skip_special_tokens=self.skip_special_tokens,
            spaces_between_special_tokens=self.spaces_between_special_tokens,
            include_stop_str_in_output=self.include_stop_str_in_output,
        )

    def _length(self, default: Mapping[str, Any], room: int) -> int:
        if self.requested_max_tokens is not None:
            return self.requested_max_tokens
        limits = (room, default.get("max_tokens"), self.fallback_max_tokens)
        return min(limit for limit in limits if limit is not None)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise _invalid("stream_options", "needs 'stream' to be true")
        if self.requested_max_tokens is not None and self.min_tokens > self.requested_max_tokens:
            raise _min_tokens_beyond(self.requested_max_tokens)
        return self


def _invalid(field: str, predicate: str) -> BadRequest:
    # Pydantic lets through what is no ValueError, so this needs no translation.
    return BadRequest(f"'{field}' {predicate}.", param=field, code=INVALID_VALUE)


def _min_tokens_beyond(length: int) -> BadRequest:
    return _invalid("min_tokens", f"must not exceed the {length} tokens to generate at most")


class TextPart(StrictObject):
    """A piece of a message."""

    type: Annotated[
        Literal["text"],
        not_yet("audio_url", "file", "image_url", "input_audio", "refusal", "video_url"),
    ]
    text: str


def _content_kind(value: object) -> str | None:
    return "text" if isinstance(value, str) else "parts" if isinstance(value, list) else None


class Message(StrictObject):
    """One turn of a conversation."""

    unsupported = MappingProxyType(
        {
            **never("audio function_call name reasoning reasoning_content refusal tool_calls"),
            "annotations": ([],),
        }
    )

    role: Annotated[
        Literal["system", "developer", "user", "assistant"], not_yet("function", "tool")
    ]
    content: Annotated[
        Annotated[str, Tag("text")] | Annotated[Quick[TextPart], Field(min_length=1), Tag("parts")],
        Discriminator(
            _content_kind,
            custom_error_type=INVALID_TYPE,
            custom_error_message="must be a string or an array of text parts",
        ),
    ]

    def for_template(self) -> dict[str, str]:
        """The message as chat templates take it."""
        content = self.content
        return {
            "role": "system" if self.role == "developer" else self.role,
            # As vLLM joins them.
            "content": content if isinstance(content, str) else "\n".join(p.text for p in content),
        }


class ResponseFormat(StrictObject):
    """The form of the answer, of which only free text is supported."""

    type: Annotated[Literal["text"], not_yet("json_object", "json_schema", "structural_tag")]


class ChatRequest(GenerationRequest):
    """A body of `POST /v1/chat/completions`."""

    unsupported = MappingProxyType(
        {
            **_UNSUPPORTED,
            **never(
                "audio chat_template functions include_reasoning media_io_kwargs "
                "mm_processor_kwargs moderation prediction prompt_cache_key prompt_cache_options "
                "prompt_cache_retention reasoning_effort safety_identifier tools web_search_options"
            ),
            "chat_template_kwargs": ({},),
            "documents": ([],),
            "echo": (False,),
            "function_call": ("none",),
            "modalities": (["text"],),
            "parallel_tool_calls": (True,),
            "service_tier": ("auto", "default"),
            "store": (False,),
            "tool_choice": ("none",),
            "verbosity": ("medium",),
        }
    )

    messages: Annotated[Quick[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_completion_tokens: PositiveLength | None = None
    logprobs: bool = False
    top_logprobs: Alternatives | None = None
    response_format: ResponseFormat | None = None
    metadata: Metadata | None = None
    add_generation_prompt: bool | None = None
    """Null lets `continue_final_message` decide; see `opens_answer`."""
    continue_final_message: bool = False
    add_special_tokens: bool = False

    @property
    def opens_answer(self) -> bool:
        """Whether the template ends by opening the assistant's turn."""
        if self.add_generation_prompt is None:
            return not self.continue_final_message
        return self.add_generation_prompt

    @property
    def requested_max_tokens(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def sample_logprobs(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None

    def conversation(self) -> list[dict[str, str]]:
        """The messages as chat templates take them."""
        return [message.for_template() for message in self.messages]

    @model_validator(mode="after")
    def _chat_agrees_with_itself(self) -> Self:
        if self.max_tokens not in (None, self.requested_max_tokens):
            raise _invalid("max_tokens", "must not differ from 'max_completion_tokens'")
        if self.top_logprobs is not None and not self.logprobs:
            raise _invalid("top_logprobs", "needs 'logprobs' to be true")
        if self.continue_final_message and self.add_generation_prompt:
            raise _invalid(
                "continue_final_message", "must not be true beside 'add_generation_prompt'"
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


class CompletionRequest(GenerationRequest):
    """A body of `POST /v1/completions`."""

    fallback_max_tokens = COMPLETION_MAX_TOKENS
    unsupported = MappingProxyType(
        {**_UNSUPPORTED, **never("prompt_embeds response_format suffix")}
    )

    prompt: Prompt
    max_tokens: Length | None = None
    logprobs: Alternatives | None = None
    echo: bool = False
    best_of: int | None = None
    add_special_tokens: bool = True

    @property
    def prompts(self) -> list[str | list[int]]:
        """What to complete: texts, or tokens that the client made itself."""
        prompt: Any = self.prompt  # the first item tells the kind of all, which no type can say
        single = isinstance(prompt, str) or isinstance(prompt[0], int)
        return [prompt] if single else prompt

    @property
    def echo_only(self) -> bool:
        """Whether to drop the token that vLLM cannot but generate."""
        return self.max_tokens == 0

    @property
    def sample_logprobs(self) -> int | None:
        return self.logprobs

    @property
    def prompt_logprobs(self) -> int | None:
        return self.logprobs if self.echo else None

    @model_validator(mode="after")
    def _completion_agrees_with_itself(self) -> Self:
        if self.max_tokens == 0 and not self.echo:
            raise _invalid("max_tokens", "must be at least 1 unless 'echo' is true")
        if self.best_of not in (None, self.n):
            raise _invalid("best_of", "must equal 'n': choosing among more is not supported yet")
        return self


def parse_chat(body: bytes) -> ChatRequest:
    """The body of a chat completion; raises `BadRequest`."""
    return parse(ChatRequest, body)


def parse_completion(body: bytes) -> CompletionRequest:
    """The body of a completion; raises `BadRequest`."""
    return parse(CompletionRequest, body)


def with_seed_offset(sampling: Sampling, index: int) -> Sampling:
    """The sampling of one prompt's `index`-th sequence.

    As in vLLM, each has a seed of its own, and the first the client's. Beyond what vLLM does, the
    sum stays an int64, and clear of -1, which would make the sequence random.
    """
    if sampling.seed is None or index == 0:
        return sampling
    seed = sampling.seed + index
    if sampling.seed < -1 <= seed:
        seed += 1
    if seed > _INT64_MAX:
        seed += 2 * _INT64_MIN
    return msgspec.structs.replace(sampling, seed=seed)
