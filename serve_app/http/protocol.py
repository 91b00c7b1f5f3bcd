"""What both generation endpoints may be asked for, and its translation into `Sampling`.

A field is honoured, or the request is refused with an error that names it: nothing is accepted and
then ignored. Only `user` and `metadata` change nothing, because OpenAI defines them as mere labels.
Null always means "not given". Names and meanings are OpenAI's, beyond that those of vLLM. What an
answer has to look like, and the tools, stand in `structured`.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

import msgspec
from pydantic import Field, model_validator

from deployments.errors import BadRequest
from deployments.messages import Sampling, StructuredOutputs
from serve_app.http.fields import (
    INT32_MAX,
    INT64_MAX,
    INT64_MIN,
    MAX_N,
    Length,
    LogitBias,
    Penalty,
    PositiveLength,
    Quick,
    StopStrings,
    StreamOptions,
    TokenId,
)
from serve_app.http.parsing import INVALID_VALUE, Noops, StrictObject, never
from serve_app.http.structured import ResponseFormat

UNSUPPORTED: Mapping[str, Noops] = {
    **never(
        "allowed_token_ids cache_salt ec_transfer_params kv_transfer_params length_penalty "
        "logprob_token_ids prompt_logprobs repetition_detection request_id session_id "
        "structured_outputs thinking_token_budget truncate_prompt_tokens "
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
    top_k: Annotated[int, Field(ge=-1, le=INT32_MAX)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    repetition_penalty: Annotated[float, Field(gt=0)] | None = None
    logit_bias: LogitBias | None = None
    seed: Annotated[int, Field(ge=INT64_MIN, le=INT64_MAX)] | None = None
    """As in vLLM, -1 asks for a random one."""
    stop: StopStrings = Field(default_factory=list)
    stop_token_ids: Annotated[Quick[TokenId], Field(max_length=64)] = Field(default_factory=list)
    ignore_eos: bool = False
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    include_stop_str_in_output: bool = False
    stream_interval: PositiveLength | None = None
    """How many tokens, at the least, make a chunk of a stream; vLLM's."""
    return_token_ids: bool = False
    """Whether every choice also brings the ids of its tokens; vLLM's."""
    response_format: ResponseFormat | None = None
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

    @property
    def structured_outputs(self) -> StructuredOutputs | None:
        """What the generated text has to look like; None leaves it free."""
        return None if self.response_format is None else self.response_format.structured_outputs

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
            stream_interval=self.stream_interval or 1,
            structured_outputs=self.structured_outputs,
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
        if self.structured_outputs is not None:
            # A form that is complete must be able to end: what came after it would have none.
            for field in ("ignore_eos", "min_tokens"):
                if getattr(self, field):
                    raise invalid(field, "must be left out where the form of the answer is given")
        return self


def invalid(field: str, predicate: str) -> BadRequest:
    # Pydantic lets through what is no ValueError, so this needs no translation.
    return BadRequest(f"'{field}' {predicate}.", param=field, code=INVALID_VALUE)


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
