"""What chat and completions share: from prompts to sequences, and from deltas to whole answers."""

import uuid
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from deployments.errors import ContextLengthExceeded
from deployments.messages import Delta, Sampling
from deployments.stream import Stream
from serve_app.http.protocol import GenerationRequest, with_seed_offset
from serve_app.http.service import Service

Sequences = list[tuple[list[int], Sampling]]
_WHOLE_STREAM_INTERVAL = 32
"""How many tokens of an answer that is sent whole come together: nobody waits for single ones, and
fewer deltas cost less."""


def new_id(prefix: str, chosen: str | None = None) -> str:
    """An id for a response: `chatcmpl-` and what the client has chosen, or what is unique."""
    return f"{prefix}-{chosen or uuid.uuid4().hex}"


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
        if not request.stream:
            sampling = replace(sampling, stream_interval=_WHOLE_STREAM_INTERVAL)
        sequences += [(prompt, with_seed_offset(sampling, i)) for i in range(request.n)]
    return sequences


def _check_context(context: int, prompt: int, requested: int | None, param: str) -> None:
    if prompt + max(1, requested or 0) <= context:
        return
    raise ContextLengthExceeded(
        f"This model's maximum context length is {context} tokens, but you asked for "
        f"{prompt} in the {param} and {requested or 'at least 1'} for the completion. "
        f"Reduce the length of the {param}{' or of the completion' if requested else ''}.",
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


async def collect(stream: Stream, count: int, usage: Usage) -> list[Delta]:
    """Read `stream` to its end, and give the sum of each sequence's deltas.

    Raises what ended it early.
    """
    wholes = [Delta(0, "", []) for _ in range(count)]
    while batch := await stream.read():
        for index, delta in batch:
            usage.add(index, delta)
            wholes[index].append(delta)
    return wholes
