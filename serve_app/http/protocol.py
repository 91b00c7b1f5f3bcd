"""What both generation endpoints may be asked for, and its translation into `Sampling`.

A field is honoured, or the request is refused with an error that names it: nothing is accepted and
then ignored. Only labels change nothing, because that is what OpenAI and vLLM define them as:
`user`, `session_id`, and of chats `metadata`, `prompt_cache_key` and `safety_identifier`. Null
always means "not given". Names and meanings are OpenAI's, beyond that those of vLLM. What an answer
has to look like stands in `structured`.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import msgspec
from pydantic import Field, model_validator

from deployments.errors import BadRequest
from deployments.messages import Sampling, StructuredOutputs
from serve_app.http import truncation
from serve_app.http.fields import (
    INT32_MAX,
    INT64_MAX,
    INT64_MIN,
    Alternatives,
    BadWords,
    Label,
    Length,
    LogitBias,
    ModelName,
    Penalty,
    PositiveLength,
    Quick,
    StopStrings,
    StreamOptions,
    TokenId,
    TokenIds,
)
from serve_app.http.limiting import LengthWithin, ValueWithin
from serve_app.http.openapi_requests import (
    Rules,
    absent,
    both,
    either,
    false,
    is_,
    only,
)
from serve_app.http.parsing import Noops, StrictObject, invalid, never
from serve_app.http.repetition import RepetitionDetection
from serve_app.http.structured import Constraint, ResponseFormat

UNSUPPORTED: Mapping[str, Noops] = {
    # `logprob_token_ids` takes the alternatives of every other request in an engine's batch away.
    **never(
        "cache_salt ec_transfer_params kv_transfer_params logprob_token_ids vllm_xargs watermarking"
    ),
    "length_penalty": (1.0, 1),
    "mm_payload": ("none", "tensors"),
    "return_mm_kwargs": (False, True),
    "return_token_offsets": (False,),
    "routed_experts_prompt_start": (0,),
    "use_beam_search": (False,),
}
"""vLLM's, on both endpoints."""
FREE_FORMAT = {"properties": {"response_format": only("type", "text")}}
"""The rule that `response_format` asks for nothing."""


class GenerationRequest(StrictObject):
    """What both endpoints share: which model, how to sample and how to answer."""

    fallback_max_tokens: ClassVar[int | None] = None
    rules: ClassVar[Rules] = (
        either(absent("stream_options", "stream_interval"), is_("stream", True)),
        either(absent("prompt_logprobs"), false("stream")),
        *truncation.RULES,
        either(
            both(absent("structured_outputs"), FREE_FORMAT),
            both(absent("structured_outputs"), false("ignore_eos", "min_tokens")),
            both(FREE_FORMAT, false("ignore_eos", "min_tokens")),
        ),
    )

    model: ModelName
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1), ValueWithin("n")] = 1
    max_tokens: PositiveLength | None = None
    min_tokens: Length = 0
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=INT32_MAX)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    repetition_penalty: Annotated[float, Field(gt=0)] | None = None
    logit_bias: LogitBias | None = None
    allowed_token_ids: Annotated[TokenIds, LengthWithin("allowed_token_ids")] | None = None
    """No other token is generated; vLLM's."""
    bad_words: BadWords = Field(default_factory=list)
    """No token is generated that would complete one of these; vLLM's."""
    seed: Annotated[int, Field(ge=INT64_MIN, le=INT64_MAX)] | None = None
    """As in vLLM, -1 asks for a random one."""
    stop: StopStrings = Field(default_factory=list)
    stop_token_ids: Annotated[Quick[TokenId], Field(max_length=64)] = Field(default_factory=list)
    ignore_eos: bool = False
    repetition_detection: RepetitionDetection | None = None
    """vLLM's."""
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    include_stop_str_in_output: bool = False
    stream_interval: PositiveLength | None = None
    """How many tokens, at the least, make a chunk of a stream; vLLM's."""
    return_token_ids: bool = False
    """Whether every choice also brings the ids of its tokens; vLLM's."""
    return_tokens_as_token_ids: bool = False
    """Whether log probabilities name tokens as `token_id:7`; vLLM's."""
    prompt_logprobs: Alternatives | None = None
    """How many alternatives to report for each token of the prompt; vLLM's."""
    truncate_prompt_tokens: Annotated[int, Field(ge=-1, le=INT32_MAX)] | None = None
    """To how many tokens a longer prompt is cut; -1 leaves room for the completion. vLLM's."""
    truncation_side: Literal["left", "right"] | None = None
    """Which end of the prompt is cut off; left unless it says right. vLLM's."""
    priority: Annotated[int, Field(ge=INT64_MIN, le=INT64_MAX)] = 0
    """Of the tenant's own waiting requests of a class, the lowest goes first; vLLM's."""
    response_format: ResponseFormat | None = None
    constraint: Constraint | None = Field(None, alias="structured_outputs")
    """vLLM's."""
    thinking_token_budget: Annotated[int, Field(ge=-1, le=INT32_MAX)] | None = None
    """How many tokens the model may think for; -1 is no limit. vLLM's."""
    request_id: Annotated[Label, Field(min_length=1)] | None = None
    """Becomes part of the answer's `id`; vLLM's."""
    session_id: Label | None = None
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
    def scored_prompt(self) -> int | None:
        """The same for the tokens of the prompt."""
        return self.prompt_logprobs

    @property
    def structured_outputs(self) -> StructuredOutputs | None:
        """What the generated text has to look like; None leaves it free."""
        if self.constraint is not None:
            return self.constraint.structured_outputs
        return None if self.response_format is None else self.response_format.structured_outputs

    @property
    def form_field(self) -> str:
        """The field that says so."""
        return "response_format" if self.constraint is None else "structured_outputs"

    @property
    def tier(self) -> str | None:
        """The service tier that is asked for."""
        return None

    @property
    def thinking_budget(self) -> int | None:
        """How many tokens the model may think for, if there is a limit."""
        return None if self.thinking_token_budget == -1 else self.thinking_token_budget

    def shortened(self, prompt: list[int], context: int) -> list[int]:
        """`prompt`, cut where that is asked for; raises BadRequest."""
        length = self.truncate_prompt_tokens
        if length is None:
            return prompt
        truncation.check_context(length, context)
        if length == -1:
            # Where that leaves nothing, the completion itself is too long, which is told later.
            length = max(1, context - max(1, self.requested_max_tokens or 0))
        return prompt[:length] if self.truncation_side == "right" else prompt[-length:]

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

        repetition = self.repetition_detection

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
            prompt_logprobs=self.scored_prompt,
            logit_bias=self.logit_bias or None,
            allowed_token_ids=tuple(self.allowed_token_ids) if self.allowed_token_ids else None,
            bad_words=tuple(self.bad_words),
            repetition_detection=None if repetition is None else repetition.rule,
            skip_special_tokens=self.skip_special_tokens,
            spaces_between_special_tokens=self.spaces_between_special_tokens,
            include_stop_str_in_output=self.include_stop_str_in_output,
            stream_interval=self.stream_interval or 1,
            structured_outputs=self.structured_outputs,
            thinking_token_budget=self.thinking_budget,
        )

    def _length(self, default: Mapping[str, Any], room: int) -> int:
        if self.requested_max_tokens is not None:
            return self.requested_max_tokens
        limits = (room, default.get("max_tokens"), self.fallback_max_tokens)
        return min(limit for limit in limits if limit is not None)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        for field in ("stream_options", "stream_interval"):
            if getattr(self, field) is not None and not self.stream:
                raise invalid(field, "needs 'stream' to be true")
        if self.requested_max_tokens is not None and self.min_tokens > self.requested_max_tokens:
            raise _min_tokens_beyond(self.requested_max_tokens)
        if self.prompt_logprobs is not None and self.stream:
            raise invalid("prompt_logprobs", "needs 'stream' to be false")
        if self.return_tokens_as_token_ids and self.sample_logprobs is None:
            raise invalid("return_tokens_as_token_ids", "needs 'logprobs'")
        truncation.check_truncation(self.truncate_prompt_tokens, self.truncation_side)
        self._check_form()
        return self

    def _check_form(self) -> None:
        given = self.response_format and self.response_format.structured_outputs
        if self.constraint is not None and given is not None:
            raise invalid("structured_outputs", "must be left out beside a 'response_format'")
        if self.structured_outputs is not None:
            # A form that is complete must be able to end: what came after it would have none.
            for field in ("ignore_eos", "min_tokens"):
                if getattr(self, field):
                    raise invalid(field, "must be left out where the form of the answer is given")


def _min_tokens_beyond(length: int) -> BadRequest:
    return invalid("min_tokens", f"must not exceed the {length} tokens to generate at most")


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
    if seed > INT64_MAX:
        seed += 2 * INT64_MIN
    return msgspec.structs.replace(sampling, seed=seed)
