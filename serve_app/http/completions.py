"""POST /v1/completions"""

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from deployments.messages import Delta, Logprob
from deployments.stream import Indexed
from deployments.tokenizing import Tokenizing
from serve_app.http import logprobs
from serve_app.http.body import read_json_body
from serve_app.http.generation import (
    Choice,
    Usage,
    collect,
    new_id,
    plan,
    raise_error,
    usage_for,
)
from serve_app.http.protocol import CompletionRequest, parse_completion
from serve_app.http.service import Service
from serve_app.http.sse import EventStream

_json = msgspec.json.Encoder().encode


async def create_completion(request: Request) -> Response:
    """Complete prompts, whole or as a stream."""
    service: Service = request.app.state.service
    body = await read_json_body(request, service.max_body_bytes)
    asked = parse_completion(body)
    service.router.pool(asked.model)  # an unknown model is refused before any work
    tokenizing = service.tokenizers[asked.model]
    prompts = [await _tokens(tokenizing, asked, prompt) for prompt in asked.prompts]
    sequences = plan(service, asked, prompts, "prompt")
    usage = usage_for(prompts, asked.n)
    echoes = _echoes(tokenizing, asked, prompts)
    if asked.stream:
        encoder = CompletionEncoder(asked, len(sequences), echoes, usage)
        return EventStream(service, asked.model, sequences, encoder)
    with service.router.generate(
        asked.model, sequences, buffer_limit=service.stream_buffer_chars
    ) as stream:
        choices = await collect(stream, len(sequences), usage)
    return Response(
        _json(_completion(asked, choices, echoes, usage)), media_type="application/json"
    )


async def _tokens(
    tokenizing: Tokenizing, asked: CompletionRequest, prompt: str | list[int]
) -> list[int]:
    if isinstance(prompt, str):
        return await tokenizing.encode(prompt, add_special_tokens=asked.add_special_tokens)
    return prompt


def _echoes(
    tokenizing: Tokenizing, asked: CompletionRequest, prompts: list[list[int]]
) -> list[str]:
    """The text to put before each prompt's choices."""
    if not asked.echo:
        return [""] * len(prompts)
    return [
        given if isinstance(given, str) else tokenizing.decode(ids)
        for given, ids in zip(asked.prompts, prompts, strict=True)
    ]


def _completion(
    asked: CompletionRequest, choices: list[Choice], echoes: list[str], usage: Usage
) -> dict[str, Any]:
    if asked.echo_only:
        usage.completion_tokens = 0
        choices = [
            Choice(prompt_logprobs=choice.prompt_logprobs, finish_reason="length")
            for choice in choices
        ]
    return {
        "id": new_id("cmpl"),
        "object": "text_completion",
        "created": int(time.time()),
        "model": asked.model,
        "choices": [
            _choice(asked, index, echoes[index // asked.n], choice)
            for index, choice in enumerate(choices)
        ],
        "usage": usage.to_json(),
    }


def _choice(asked: CompletionRequest, index: int, echo: str, choice: Choice) -> dict[str, Any]:
    rendered = {
        "index": index,
        "text": echo + choice.text,
        "logprobs": _logprobs(asked, [*choice.prompt_logprobs, *choice.logprobs]),
        "finish_reason": choice.finish_reason,
        "stop_reason": choice.stop_reason,
    }
    if asked.return_token_ids:
        rendered["token_ids"] = choice.token_ids
    return rendered


def _logprobs(
    asked: CompletionRequest, rows: Sequence[list[Logprob] | None], offset: int = 0
) -> dict[str, Any] | None:
    if asked.sample_logprobs is None:
        return None
    return logprobs.for_completion(rows, asked.sample_logprobs, offset)


class CompletionEncoder:
    """Deltas to `text_completion` events, built like those of a chat (see `ChatEncoder`)."""

    _TEXT_END = b',"logprobs":null,"finish_reason":null}]}\n\n'

    def __init__(
        self, asked: CompletionRequest, count: int, echoes: list[str], usage: Usage
    ) -> None:
        self._asked = asked
        self._usage = usage
        self._echoes = [echoes[index // asked.n] for index in range(count)]
        self._offsets = [0] * count
        self._head = {
            "id": new_id("cmpl"),
            "object": "text_completion",
            "created": int(time.time()),
            "model": asked.model,
        }
        open_head = b"data: " + _json(self._head)[:-1]
        self._prefixes = [
            b'%s,"choices":[{"index":%d,"text":' % (open_head, index) for index in range(count)
        ]
        self._plain = not asked.return_token_ids and asked.sample_logprobs is None
        self._echoing = asked.echo

    def encode(self, batch: Sequence[Indexed]) -> bytes:
        """The events for these deltas; may be empty."""
        events: list[bytes] = []
        for index, delta in batch:
            self._usage.add(index, delta)
            if self._plain and delta.finish_reason is None and not self._echoes[index]:
                if delta.text:
                    events += (self._prefixes[index], _json(delta.text), self._TEXT_END)
            else:
                events.append(self._full_event(index, delta))
        return b"".join(events)

    def end(self) -> bytes:
        """The usage, when it was asked for."""
        if not self._asked.include_usage:
            return b""
        if self._asked.echo_only:
            self._usage.completion_tokens = 0
        return _data({**self._head, "choices": [], "usage": self._usage.to_json()})

    def _full_event(self, index: int, delta: Delta) -> bytes:
        raise_error(delta)
        if self._asked.echo_only:
            delta.text, delta.token_ids, delta.logprobs = "", [], None
        text = self._echoes[index] + delta.text
        self._echoes[index] = ""
        rows = [*(delta.prompt_logprobs or ()), *(delta.logprobs or ())]
        rendered = _logprobs(self._asked, rows, self._offsets[index])
        self._offsets[index] += len(text)
        choice = {
            "index": index,
            "text": text,
            "logprobs": rendered,
            "finish_reason": delta.finish_reason,
        }
        if delta.finish_reason is not None:
            choice["stop_reason"] = delta.stop_reason
        if self._asked.return_token_ids:
            choice["token_ids"] = delta.token_ids
        return _data({**self._head, "choices": [choice]})


def _data(content: dict[str, Any]) -> bytes:
    return b"data: " + _json(content) + b"\n\n"
