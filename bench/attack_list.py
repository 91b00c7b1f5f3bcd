"""Requests that are meant to hurt, and what becomes of one on a raw connection.

Each must be answered with a 4xx within a second; those that never become a request also lose their
connection.
"""

import contextlib
import itertools
import json
import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httptools

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
SLOW_HEAD_S = 10.0
"""How long a server waits for a head that comes drop by drop (serve_app.http.wire.HEAD_S)."""
_PIECE = 64 * 1024
_CLOSES_WITHIN_S = 5.0

Pieces = Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class Attack:
    """What is sent, piece by piece, until an answer comes."""

    name: str
    pieces: Pieces
    pause_s: float = 0.0
    """Between two pieces."""
    closes: bool = False
    """Whether the server has to close the connection."""
    is_http: bool = True
    """Whether it becomes a request, so that the refusal is in OpenAI's shape; HAProxy has its own
    words for what does not."""
    waits_s: float = 0.0
    """How long the server may wait before it is to answer at once."""


@dataclass(frozen=True)
class Verdict:
    """What came of one attack."""

    status: int
    """0 when no answer has come."""
    answered_s: float
    closed: bool
    """By the server, after its answer."""
    content_type: str
    body: bytes

    @property
    def code(self) -> str | None:
        """The error's code, where the answer is an error in OpenAI's shape."""
        try:
            error = json.loads(self.body)["error"]
            return str(error["code"]) if set(error) == _ERROR_KEYS else None
        except (ValueError, KeyError, TypeError):
            return None


_ERROR_KEYS = {"message", "type", "param", "code"}


def attacks(model: str, listening_port: int) -> list[Attack]:
    """All of them; at `listening_port` of the loopback interface nobody must ask for a picture."""

    def chat(**fields: Any) -> Pieces:
        messages = [{"role": "user", "content": "Hi"}]
        return _posted(CHAT, _json({"model": model, "messages": messages, **fields}))

    def completion(**fields: Any) -> Pieces:
        return _posted(COMPLETIONS, _json({"model": model, "prompt": "Hi", **fields}))

    def forced(**form: Any) -> Pieces:
        return chat(max_tokens=8, structured_outputs=form)

    picture = f"http://127.0.0.1:{listening_port}/picture.png"
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": picture}},
    ]
    loops = "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}"
    return [
        Attack("n=16384", chat(n=16384)),
        Attack("2,000 prompts", completion(prompt=["x"] * 2000)),
        Attack("regex (a+)+b", forced(regex="(a+)+b")),
        Attack("regex (a{1,999}){1,999}", forced(regex="(a{1,999}){1,999}")),
        Attack("grammar of 30,000 brackets", forced(grammar="root ::= " + "(" * 30_000)),
        Attack("schema of depth 10,000", _posted(CHAT, _deep_schema(model, 10_000))),
        Attack("schema of depth 100", _posted(CHAT, _deep_schema(model, 100))),
        Attack("chat_template that loops", chat(chat_template=loops)),
        Attack("image_url of loopback", chat(messages=[{"role": "user", "content": parts}])),
        Attack('"max_tokens": true', chat(max_tokens=True)),
        Attack('"seed": 2**70', chat(seed=2**70)),
        Attack('"stop": [1]', chat(stop=[1])),
        Attack("2 MB of nested arrays", _posted(CHAT, _nested_arrays(2 * 1024 * 1024))),
        Attack("100 MB of headers", _headers(100 * 1024 * 1024), closes=True, is_http=False),
        Attack("an endless header", _endless_header, closes=True, is_http=False),
        Attack("an endless chunked body", _endless_body, closes=True),
        Attack(
            "a head in drops",
            _drops,
            pause_s=0.2,
            closes=True,
            is_http=False,
            waits_s=SLOW_HEAD_S,
        ),
    ]


def launch(address: tuple[str, int], attack: Attack, timeout_s: float = 30.0) -> Verdict:
    """Send one, and wait for its answer and, where it must come, the end of the connection."""
    began = time.perf_counter()
    try:
        connection = socket.create_connection(address, timeout_s)
    except OSError:
        return Verdict(0, time.perf_counter() - began, True, "", b"")
    with connection:
        connection.setblocking(False)
        exchange = _Exchange(connection, attack)
        exchange.run(timeout_s)
        return exchange.verdict()


class _Exchange:
    """Writes while the server takes it, and reads at the same time."""

    def __init__(self, connection: socket.socket, attack: Attack) -> None:
        self._connection = connection
        self._attack = attack
        self._pieces = attack.pieces()
        self._unsent = memoryview(b"")
        self._next_at = self._began = time.perf_counter()
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body = b""
        self._answered_at = 0.0
        self._closed = False

    def run(self, timeout_s: float) -> None:
        """To the answer, and to the end of the connection where that has to come."""
        end = self._began + timeout_s
        while not self._closed and time.perf_counter() < end:
            if self._answered_at and not self._attack.closes:
                return
            if self._answered_at and time.perf_counter() > self._answered_at + _CLOSES_WITHIN_S:
                return
            self._turn()

    def verdict(self) -> Verdict:
        """What has come so far."""
        return Verdict(
            status=self._parser.get_status_code() if self._answered_at else 0,
            answered_s=(self._answered_at or time.perf_counter()) - self._began,
            closed=self._closed,
            content_type=self._headers.get("content-type", ""),
            body=self._body,
        )

    def _turn(self) -> None:
        now = time.perf_counter()
        if not self._unsent and now >= self._next_at:
            self._unsent = memoryview(next(self._pieces, b""))
            self._next_at = now + self._attack.pause_s
        writing = [self._connection] if self._unsent else []
        readable, writable, _ = select.select([self._connection], writing, [], 0.05)
        try:
            if readable:
                self._read()
            if writable and not self._closed:
                self._send()
        except (ConnectionResetError, BrokenPipeError):
            self._closed = True

    def _send(self) -> None:
        try:
            self._unsent = self._unsent[self._connection.send(self._unsent) :]
        except (ConnectionResetError, BrokenPipeError):
            while not self._closed:  # what came before the connection broke is still to be read
                self._read()

    def _read(self) -> None:
        data = self._connection.recv(_PIECE)
        if not data:
            self._closed = True
        elif not self._answered_at:
            with contextlib.suppress(httptools.HttpParserError):  # what is no answer stays none
                self._parser.feed_data(data)

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._answered_at = time.perf_counter()


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()


def _head(path: str, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: sluice", "Content-Type: application/json", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _posted(path: str, body: bytes) -> Pieces:
    return lambda: iter([_head(path, f"Content-Length: {len(body)}") + body])


def _deep_schema(model: str, depth: int) -> bytes:
    # Written by hand: json.dumps would not go so deep.
    schema = '{"items":' * depth + "{}" + "}" * depth
    form = f'{{"type":"json_schema","json_schema":{{"name":"x","schema":{schema}}}}}'
    messages = '[{"role":"user","content":"Hi"}]'
    return f'{{"model":"{model}","messages":{messages},"response_format":{form}}}'.encode()


def _nested_arrays(size: int) -> bytes:
    frame = b'{"messages":'
    depth = (size - len(frame) - 1) // 2
    return frame + b"[" * depth + b"]" * depth + b"}"


def _headers(size: int) -> Pieces:
    line = b"x-header: " + b"x" * 1000 + b"\r\n"
    lines = line * (_PIECE // len(line))
    head = f"POST {CHAT} HTTP/1.1\r\nHost: sluice\r\n".encode()
    return lambda: itertools.chain([head], itertools.repeat(lines, size // _PIECE))


def _endless_header() -> Iterator[bytes]:
    yield f"POST {CHAT} HTTP/1.1\r\nHost: sluice\r\nx-header: ".encode()
    yield from itertools.repeat(b"x" * _PIECE)


def _endless_body() -> Iterator[bytes]:
    yield _head(CHAT, "Transfer-Encoding: chunked")
    yield from itertools.repeat(b"%x\r\n%b\r\n" % (_PIECE, b" " * _PIECE))


def _drops() -> Iterator[bytes]:
    yield f"POST {CHAT} HTTP/1.1\r\nHost: sluice\r\n".encode()
    yield from (f"x-{number}: x\r\n".encode() for number in itertools.count())
