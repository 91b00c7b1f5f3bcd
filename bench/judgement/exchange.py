"""One request to a completions endpoint, and all that is known of what became of it."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bench.client import Load
from bench.connection import Connection, ConnectionLost
from bench.sse import read_stream

REFUSALS = frozenset({"overloaded", "deadline_exceeded"})
"""Codes of a 503 that say: not now. Anything else that is no whole answer is a lost request."""

_DONE = b"data: [DONE]"
_DATA = b"data: "


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one request. Times in seconds after the start of its traffic."""

    number: int
    attempt: int = 0
    """1 when it was sent again after a refusal."""
    due_at: float
    sent_at: float
    done_at: float
    status: int = 0
    """0 when no answer has begun."""
    first_at: float | None = None
    last_at: float | None = None
    """When its first and its last token came."""
    tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    code: str | None = None
    error: str | None = None
    """Why it is no whole answer."""
    wait_ms: float | None = None
    """In the router's queue, by the server's word."""
    predicted_ms: float | None = None
    """The wait for the first token that the server foresaw when it let the request in."""
    retry_after_s: float | None = None
    retry_after_ms: float | None = None
    should_retry: str | None = None

    @property
    def whole(self) -> bool:
        """Whether everything asked for has come."""
        return self.status == 200 and self.error is None

    @property
    def refused(self) -> bool:
        """Whether the server said "not now" before it began."""
        return self.status == 503 and self.code in REFUSALS

    @property
    def lost(self) -> bool:
        return not self.whole and not self.refused

    @property
    def ttft_s(self) -> float | None:
        return None if self.first_at is None else self.first_at - self.sent_at

    @property
    def tpot_s(self) -> float | None:
        """Time for each token after the first."""
        if self.first_at is None or self.last_at is None or self.tokens < 2:
            return None
        return (self.last_at - self.first_at) / (self.tokens - 1)

    def tokens_between(self, start: float, end: float) -> float:
        """How many tokens came in that time, if those after the first came evenly."""
        if self.first_at is None or self.last_at is None or not self.tokens:
            return 0.0
        first = 1.0 if start <= self.first_at < end else 0.0
        span = self.last_at - self.first_at
        if span <= 0:
            return self.tokens * first
        inside = max(0.0, min(end, self.last_at) - max(start, self.first_at))
        return first + (self.tokens - 1) * inside / span


class Recorder(Connection):
    """A connection that keeps the headers too, and what had come when an answer broke off."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        super().__init__()

    def on_message_begin(self) -> None:
        self.headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def outcome(self, number: int, due_at: float, began: float, output_len: int) -> Outcome:
        """Of the request last asked; `began` is the traffic's start on perf_counter's clock."""
        answer = self._answer
        body = b"".join(answer.pieces)
        headers = self.headers if answer.status else {}
        known: dict[str, Any] = {
            "number": number,
            "due_at": due_at,
            "sent_at": answer.sent_at - began,
            "done_at": (answer.done_at or time.perf_counter()) - began,
            "status": answer.status,
            "wait_ms": _number(headers, "x-sluice-wait-ms"),
            "predicted_ms": _number(headers, "x-sluice-predicted-ms"),
            "retry_after_s": _number(headers, "retry-after"),
            "retry_after_ms": _number(headers, "retry-after-ms"),
            "should_retry": headers.get("x-should-retry"),
        }
        if answer.status != 200:
            said = body[:200].decode(errors="replace")
            return Outcome(**known, code=error_code(body), error=f"{answer.status} {said}")
        completion = read_stream(body)
        arrivals = answer.arrivals_until(completion.tokens_end or len(body))
        if arrivals:
            known |= {"first_at": arrivals[0] - began, "last_at": arrivals[-1] - began}
        if completion.error is not None:
            return Outcome(**known, code=error_code(body), error=completion.error)
        usage = _usage(body, completion.tokens_end)
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        short = completion.output_tokens != output_len
        return Outcome(
            **known,
            tokens=completion.output_tokens,
            prompt_tokens=usage["prompt_tokens"],
            cached_tokens=cached or 0,
            error=f"{completion.output_tokens} tokens, not {output_len}" if short else None,
        )


class Sender:
    """Sends requests, each at once, over as many connections as are under way together."""

    def __init__(self, load: Load, patience_s: float) -> None:
        self._host, self._port = load.address()
        self._output_len = load.output_len
        self._patience_s = patience_s
        self._idle: list[Recorder] = []
        self.began = time.perf_counter()

    @property
    def now(self) -> float:
        """Seconds after the start."""
        return time.perf_counter() - self.began

    async def send(self, request: bytes, number: int, due_at: float) -> Outcome:
        """One request, to its end or to that of our patience."""
        return (await self.exchange(request, number, due_at))[0]

    async def exchange(self, request: bytes, number: int, due_at: float) -> tuple[Outcome, bytes]:
        """The same, with the answer's body."""
        sent_at, recorder = self.now, None
        try:
            async with asyncio.timeout(self._patience_s):
                recorder = await self._connection()
                answer = await recorder.ask(request)
        except (OSError, TimeoutError, ConnectionLost) as exc:
            why = f"{type(exc).__name__}: {exc}".rstrip(": ")
            return self._broken(recorder, number, due_at, sent_at, why), b""
        outcome = recorder.outcome(number, due_at, self.began, self._output_len)
        if recorder.usable:
            self._idle.append(recorder)
        return outcome, b"".join(answer.pieces)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def _connection(self) -> Recorder:
        while self._idle:
            if (recorder := self._idle.pop()).usable:
                return recorder
        loop = asyncio.get_running_loop()
        _, recorder = await loop.create_connection(Recorder, self._host, self._port)
        return recorder

    def _broken(
        self, recorder: Recorder | None, number: int, due_at: float, sent_at: float, why: str
    ) -> Outcome:
        if recorder is None:
            return Outcome(
                number=number, due_at=due_at, sent_at=sent_at, done_at=self.now, error=why
            )
        recorder.close()
        found = recorder.outcome(number, due_at, self.began, self._output_len)
        return found if found.refused else replace(found, error=why)


def post(load: Load, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> bytes:
    """A POST request in full."""
    host, port = load.address()
    content = json.dumps(body).encode()
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}:{port}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + content


def completion_body(load: Load, prompt: list[int]) -> dict[str, Any]:
    """A greedy streamed completion of exactly `load.output_len` tokens."""
    return {
        "model": load.model,
        "prompt": prompt,
        "max_tokens": load.output_len,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def error_code(body: bytes) -> str | None:
    """The `code` of the error that a body, or a stream's last event, consists of."""
    start = body.rfind(b'{"error"')
    try:
        error = json.loads(body[start:].split(b"\n\n", 1)[0])["error"] if start >= 0 else {}
        code = error.get("code")
    except (ValueError, AttributeError):
        return None
    return None if code is None else str(code)


def _usage(body: bytes, tokens_end: int) -> dict[str, Any]:
    event = body[tokens_end + len(_DATA) : body.rfind(_DONE)]
    usage: dict[str, Any] = json.loads(event)["usage"]
    return usage


def _number(headers: Mapping[str, str], name: str) -> float | None:
    try:
        return float(headers[name])
    except (KeyError, ValueError):
        return None
