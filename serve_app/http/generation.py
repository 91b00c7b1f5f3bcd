"""What chat and completions share: from prompts to sequences, and from deltas to whole answers."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from deployments.errors import ContextLengthExceeded
from deployments.messages import Delta, Logprob, Sampling
from deployments.stream import Stream, error_of
from serve_app.http.protocol import ChatRequest, CompletionRequest, with_seed_offset
from serve_app.http.service import Service

GenerationRequest = ChatRequest | CompletionRequest
Sequences = list[tuple[list[int], Sampling]]


def new_id(prefix: str) -> str:
    """An id for a response: `chatcmpl-...`."""
    return f"{prefix}-{uuid.uuid4().hex}"


def plan(
    service: Service, request: GenerationRequest, prompts: list[list[int]], param: str
) -> Sequences:
    """The sequences that answer `request`: for each prompt in turn, its n choices.

    `param` is the field the prompts came from. Raises ContextLengthExceeded.
    """
    facts = service.router.pool(request.model).facts
    context: int = facts["max_model_len"]
    sequences: Sequences = []
    for prompt in prompts:
        room = context - len(prompt)
        _check_context(context, len(prompt), request.requested_max_tokens, param)
        sampling = request.sampling(default=facts["default_sampling"], max_tokens=room)
        sequences += [(prompt, with_seed_offset(sampling, i)) for i in range(request.n)]
    return sequences


def _check_context(context: int, prompt: int, requested: int | None, param: str) -> None:
    if prompt + max(1, requested or 0) <= context:
        return
    asked = f"{prompt} in the {param}"
    if requested is not None:
        asked += f" and {requested} for the completion"
    raise ContextLengthExceeded(
        f"This model's maximum context length is {context} tokens, but you asked for {asked}. "
        f"Reduce the length of the {param}"
        + (" or of the completion." if requested is not None else "."),
        param=param,
    )


@dataclass
class Usage:
    """Token counts of one response, exact."""

    prompt_tokens: int
    n: int
    completion_tokens: int = 0
    cached_tokens: int = 0

    def add(self, index: int, delta: Delta) -> None:
        """Count what a delta brings. A prompt's cached tokens count once, with its first choice."""
        self.completion_tokens += len(delta.token_ids)
        if delta.num_cached_tokens and index % self.n == 0:
            self.cached_tokens += delta.num_cached_tokens

    def to_json(self) -> dict[str, Any]:
        """OpenAI's usage object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }


@dataclass
class Choice:
    """One sequence's whole output."""

    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[list[Logprob]] = field(default_factory=list)
    prompt_logprobs: list[list[Logprob] | None] = field(default_factory=list)
    finish_reason: str | None = None
    stop_reason: int | str | None = None

    def add(self, delta: Delta) -> None:
        """Take in one more delta."""
        self.text += delta.text
        self.token_ids += delta.token_ids
        self.logprobs += delta.logprobs or ()
        self.prompt_logprobs += delta.prompt_logprobs or ()
        self.finish_reason = delta.finish_reason
        self.stop_reason = delta.stop_reason


async def collect(stream: Stream, count: int, usage: Usage) -> list[Choice]:
    """Read `stream` to its end; raises what ended it early."""
    choices = [Choice() for _ in range(count)]
    while batch := await stream.read():
        for index, delta in batch:
            raise_error(delta)
            choices[index].add(delta)
            usage.add(index, delta)
    return choices


def raise_error(delta: Delta) -> None:
    """Raise the error that a delta stands for, if it does."""
    error = error_of(delta)
    if error is not None:
        raise error


def usage_for(prompts: Iterable[list[int]], n: int) -> Usage:
    """A usage that knows its prompts."""
    return Usage(sum(len(prompt) for prompt in prompts), n)
