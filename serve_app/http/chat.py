"""POST /v1/chat/completions"""

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from deployments.messages import Delta, Logprob
from deployments.stream import Indexed
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
from serve_app.http.protocol import ChatRequest, parse_chat
from serve_app.http.service import Service
from serve_app.http.sse import EventStream

_json = msgspec.json.Encoder().encode


async def create_chat_completion(request: Request) -> Response:
    """Answer a conversation, whole or as a stream."""
    service: Service = request.app.state.service
    body = await read_json_body(request, service.max_body_bytes)
    chat = parse_chat(body)
    service.router.pool(chat.model)  # an unknown model is refused before any work
    prompt = await service.tokenizers[chat.model].chat(
        chat.conversation(),
        add_generation_prompt=chat.opens_answer,
        continue_final_message=chat.continue_final_message,
        add_special_tokens=chat.add_special_tokens,
    )
    sequences = plan(service, chat, [prompt], "messages")
    usage = usage_for([prompt], chat.n)
    if chat.stream:
        return EventStream(service, chat.model, sequences, ChatEncoder(chat, usage))
    with service.router.generate(
        chat.model, sequences, buffer_limit=service.stream_buffer_chars
    ) as stream:
        choices = await collect(stream, len(sequences), usage)
    return Response(_json(_completion(chat, choices, usage)), media_type="application/json")


def _completion(chat: ChatRequest, choices: list[Choice], usage: Usage) -> dict[str, Any]:
    return {
        "id": new_id("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": chat.model,
        "choices": [_choice(chat, index, choice) for index, choice in enumerate(choices)],
        "usage": usage.to_json(),
    }


def _choice(chat: ChatRequest, index: int, choice: Choice) -> dict[str, Any]:
    rendered = {
        "index": index,
        "message": {"role": "assistant", "content": choice.text, "refusal": None},
        "logprobs": _logprobs(chat, choice.logprobs),
        "finish_reason": choice.finish_reason,
        "stop_reason": choice.stop_reason,
    }
    if chat.return_token_ids:
        rendered["token_ids"] = choice.token_ids
    return rendered


def _logprobs(chat: ChatRequest, rows: list[list[Logprob]] | None) -> dict[str, Any] | None:
    if chat.sample_logprobs is None or rows is None:
        return None
    return logprobs.for_chat(rows, chat.sample_logprobs)


class ChatEncoder:
    """Deltas to `chat.completion.chunk` events.

    Nearly every token is plain text and nothing else: such a chunk is a prepared prefix, the
    JSON-escaped text and a constant suffix. Everything rarer is built the ordinary way.
    """

    _TEXT_END = b'},"logprobs":null,"finish_reason":null}]}\n\n'

    def __init__(self, chat: ChatRequest, usage: Usage) -> None:
        self._chat = chat
        self._usage = usage
        self._head = {
            "id": new_id("chatcmpl"),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": chat.model,
        }
        open_head = b"data: " + _json(self._head)[:-1]
        self._prefixes = [
            b'%s,"choices":[{"index":%d,"delta":{"content":' % (open_head, index)
            for index in range(chat.n)
        ]
        self._begun = [False] * chat.n
        self._plain = not chat.return_token_ids

    def encode(self, batch: Sequence[Indexed]) -> bytes:
        """The events for these deltas; may be empty."""
        events: list[bytes] = []
        for index, delta in batch:
            self._usage.add(index, delta)
            if not self._begun[index]:
                self._begun[index] = True
                events.append(self._event(index, {"role": "assistant", "content": ""}))
            if self._plain and delta.finish_reason is None and delta.logprobs is None:
                if delta.text:
                    events += (self._prefixes[index], _json(delta.text), self._TEXT_END)
            else:
                events.append(self._full_event(index, delta))
        return b"".join(events)

    def end(self) -> bytes:
        """The usage, when it was asked for."""
        if not self._chat.include_usage:
            return b""
        return _data({**self._head, "choices": [], "usage": self._usage.to_json()})

    def _full_event(self, index: int, delta: Delta) -> bytes:
        raise_error(delta)
        more: dict[str, Any] = {
            "logprobs": _logprobs(self._chat, delta.logprobs),
            "finish_reason": delta.finish_reason,
        }
        if delta.finish_reason is not None:
            more["stop_reason"] = delta.stop_reason
        if self._chat.return_token_ids:
            more["token_ids"] = delta.token_ids
        return self._event(index, {"content": delta.text}, **more)

    def _event(self, index: int, delta: dict[str, str], **more: Any) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **more}
        return _data({**self._head, "choices": [choice]})


def _data(content: dict[str, Any]) -> bytes:
    return b"data: " + _json(content) + b"\n\n"
