"""What both endpoints do with a planned request: generate, and write the answer down."""

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from deployments.messages import Delta
from deployments.stream import Indexed
from serve_app.http.auth import terms_of
from serve_app.http.fields import StreamOptions
from serve_app.http.generation import Sequences, Usage, collect, new_id
from serve_app.http.protocol import GenerationRequest
from serve_app.http.record import record_of
from serve_app.http.service import Service
from serve_app.http.sse import EventStream, timing
from serve_app.http.trace_content import Content

SERVED_TIERS = {
    "auto": "default",
    "default": "default",
    "fast": "priority",
    "flex": "flex",
    "priority": "priority",
}
"""What an answer says of the service tier, by what was asked for; OpenAI's words."""

_NO_OPTIONS = StreamOptions()
_BLOCK = 64
"""Padded events have sizes that are this far apart."""

_json = msgspec.json.Encoder().encode


class Answer(ABC):
    """Writes a request's deltas as events, or the sums of them as one whole answer.

    Nearly every token is plain text and nothing else: its event is a prepared prefix, the
    JSON-escaped text and a constant suffix. Everything rarer, and the first delta of each choice,
    is built the ordinary way by the endpoint's own methods.
    """

    id_prefix: ClassVar[str]
    object_name: ClassVar[str]
    chunk_name: ClassVar[str]
    text_start: ClassVar[bytes]
    """What stands in a plain event between the choice's index and the text."""
    text_end: ClassVar[bytes]

    def __init__(self, request: GenerationRequest, prompts: Sequence[list[int]]) -> None:
        self.request = request
        self.usage = Usage(sum(map(len, prompts)), request.n)
        self._head: dict[str, Any] = {
            "id": new_id(self.id_prefix, request.request_id),
            "object": self.chunk_name if request.stream else self.object_name,
            "created": int(time.time()),
            "model": request.model,
        }
        if request.tier is not None:
            self._head["service_tier"] = SERVED_TIERS[request.tier]
        count = len(prompts) * request.n
        open_head = b"data: " + _json(self._head)[:-1]
        self._prefixes = [
            b'%s,"choices":[{"index":%d,%s' % (open_head, index, self.text_start)
            for index in range(count)
        ]
        options = request.stream_options or _NO_OPTIONS
        self._running: list[Usage] = []
        """Of each choice, where its events tell it."""
        if options.continuous_usage_stats:
            self._running = [Usage(len(prompt), 1) for prompt in prompts for _ in range(request.n)]
        self._pads = options.include_obfuscation
        self._only_text = not (
            request.return_token_ids
            or request.sample_logprobs is not None
            or self._running
            or self._pads
        )
        self._begun = [False] * count
        self._plain = [False] * count

    def encode(self, batch: Sequence[Indexed]) -> bytes:
        """The events for these deltas; may be empty."""
        events: list[bytes] = []
        for index, delta in batch:
            self.usage.add(index, delta)
            if self._plain[index] and delta.finish_reason is None:
                if delta.text:
                    events += (self._prefixes[index], _json(delta.text), self.text_end)
            else:
                if self._running:
                    self._running[index].add(0, delta)
                events.append(self._events(index, delta, first=not self._begun[index]))
                self._begun[index] = True
                self._plain[index] = self._is_plain_from_now_on(index)
        return b"".join(events)

    def end(self) -> bytes:
        """The usage, when it was asked for."""
        return self._event([], usage=self._usage()) if self.request.include_usage else b""

    async def written(self, choices: Sequence[Delta]) -> bytes:
        """The whole answer, where writing it may take long."""
        return self.whole(choices)

    def whole(self, choices: Sequence[Delta]) -> bytes:
        """The whole answer; each choice is the sum of its deltas."""
        rendered = [self._choice(index, choice) for index, choice in enumerate(choices)]
        extra = self._extra() | self._of_prompt(choices)
        return _json({**self._head, **extra, "choices": rendered, "usage": self._usage()})

    @abstractmethod
    def _events(self, index: int, delta: Delta, *, first: bool) -> bytes:
        """The events for one delta."""

    @abstractmethod
    def _choice(self, index: int, choice: Delta) -> dict[str, Any]:
        """One choice of a whole answer."""

    def _is_plain_from_now_on(self, index: int) -> bool:
        """Whether all that comes is text and nothing else, but for the end."""
        return self._only_text

    def _extra(self) -> dict[str, Any]:
        """What a whole answer has beside its choices."""
        return {}

    def _of_prompt(self, choices: Sequence[Delta]) -> dict[str, Any]:
        """And what engines have told of the prompt."""
        return {}

    def _usage(self) -> dict[str, Any]:
        return self.usage.to_json()

    def _usage_of(self, index: int) -> dict[str, Any]:
        """That of one choice so far, where its events tell it."""
        return self._running[index].to_json()

    def _says_something(self, delta: Delta) -> bool:
        return bool(delta.text) or delta.finish_reason is not None or not self._only_text

    def _event(self, choices: list[dict[str, Any]], **extra: Any) -> bytes:
        content = {**self._head, **extra, "choices": choices}
        if choices and self._running:
            content["usage"] = self._usage_of(choices[0]["index"])
        if choices and self._pads:
            content["obfuscation"] = ""
            content["obfuscation"] = _padding(len(_json(content)))
        return b"data: " + _json(content) + b"\n\n"

    def _rendered(
        self, index: int, delta: Delta, content: dict[str, Any], logprobs: dict[str, Any] | None
    ) -> dict[str, Any]:
        """A choice, or a piece of one, around what is particular to the endpoint."""
        rendered = {
            "index": index,
            **content,
            "logprobs": logprobs,
            "finish_reason": delta.finish_reason,
        }
        if delta.finish_reason is not None:
            rendered["stop_reason"] = delta.stop_reason
        if self.request.return_token_ids:
            rendered["token_ids"] = delta.token_ids
        return rendered


def _padding(size: int) -> str:
    return secrets.token_urlsafe(_BLOCK)[: -size % _BLOCK]


async def respond(request: Request, sequences: Sequences, answer: Answer) -> Response:
    """Generate `sequences` and give `answer`, whole or as a stream."""
    service: Service = request.app.state.service
    asked = answer.request
    model = asked.model
    terms = terms_of(
        request, model, tier=asked.tier, priority=asked.priority, streamed=asked.stream
    )
    record = record_of(request)
    record.n, record.stream, record.usage = len(sequences), asked.stream, answer.usage
    if record.trace is not None and record.trace.wants_content:
        record.trace.content = Content(asked, service.tokenizing(model).decode)
    form = sequences[0][1].structured_outputs
    if form is not None:
        await service.forms.check(form, terms.tenant, asked.form_field)
    if asked.stream:
        return EventStream(service, model, sequences, terms, answer)
    with service.router.generate(
        model,
        sequences,
        terms,
        buffer_limit=service.stream_buffer_chars,
        tickets=record.tickets,
        trace=record.trace,
    ) as stream:
        choices = await collect(stream, len(sequences), answer.usage)
    response = Response(await answer.written(choices), media_type="application/json")
    response.raw_headers += timing(stream)
    return response
