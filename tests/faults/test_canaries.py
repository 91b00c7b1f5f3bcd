"""Whatever a client sends, and whatever goes wrong meanwhile: none of it is found in what the
server tells afterwards. Fifty secrets and more, in every place that a request has.
"""

import json
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from serve_app import access
from serve_app.http.chat_request import ChatRequest
from serve_app.http.completion_request import CompletionRequest
from tests.support import models, otlp
from tests.support.canaries import Canaries
from tests.support.otlp import Received
from tests.support.server import Server, eventually, start

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
AT_ONCE = 8
HAPROXY_FILES = Path("/tmp/haproxy-serve")

Ask = Callable[[], object]


class Syslog(threading.Thread):
    """Takes what is sent to the system's log, at once: the kernel would drop what does not fit."""

    def __init__(self) -> None:
        super().__init__()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.received: list[bytes] = []
        self.start()

    def run(self) -> None:
        while datagram := self._socket.recv(65536):
            self.received.append(datagram)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self.join(10)
        self._socket.close()


class Birds:
    """A server with a key, the folder of its Ray session, and what it sends to the system's log and
    of traces."""

    def __init__(self, folder: Path, traces: Received) -> None:
        self.canaries = Canaries()
        pepper = self.canaries.new() + self.canaries.new()
        self.key = f"{access.PREFIX}user-{self._secret()}"
        user = {"id": "user", "hash": access.digest(pepper, self.key).hex(), "tenant": "t"}
        self._syslog = Syslog()
        self._folder = folder
        self._traces = traces
        self.server = start(
            {
                "models": models.CONFIG["models"][:1],
                "auth": {"pepper": pepper, "keys": [{**user, "metrics": True}]},
                "log": {"level": "debug"},
            },
            env={
                "RAY_TMPDIR": str(folder),
                "RAY_SERVE_HAPROXY_LOG_TARGET": f"127.0.0.1:{self._syslog.port}",
                "OTEL_EXPORTER_OTLP_ENDPOINT": traces.endpoint,
                "OTEL_BSP_SCHEDULE_DELAY": "250",
            },
        )
        self.server.headers["authorization"] = f"Bearer {self.key}"

    def _secret(self) -> str:
        return self.canaries.add(self.canaries.new().ljust(access.SECRET_LENGTH, "x"))

    def told(self) -> Iterator[tuple[str, bytes]]:
        """Everything that the server has told anybody but the client."""
        yield "stdout and stderr", self.server.log.read_bytes()
        yield "/metrics", self.server.get("/metrics").content
        yield "the system's log", b"".join(self._syslog.received)
        yield "traces", b"".join(self._traces.raw)
        for folder in (self._folder, HAPROXY_FILES):
            for file in folder.rglob("*"):
                if file.is_file() and not file.is_symlink():
                    with suppress(FileNotFoundError):  # another server's, which has ended
                        yield str(file), file.read_bytes()

    def close(self) -> None:
        self.server.kill()
        self._syslog.close()


@pytest.fixture
def birds() -> Iterator[Birds]:
    # pytest's own folders have names that are too long for the sockets in them.
    with tempfile.TemporaryDirectory(prefix="ray-") as folder, otlp.over_http() as traces:
        birds = Birds(Path(folder), traces)
        try:
            birds.server.wait_until_ready()
            yield birds
            birds.server.stop()
        finally:
            birds.close()


def test_no_secret_of_a_client_is_told_to_anybody_else(birds: Birds) -> None:
    server, canaries = birds.server, birds.canaries
    asks = [
        *answered(server, canaries),
        *refused_fields(server, canaries),
        *refused_bodies(server, canaries),
        *refused_heads(server, canaries),
        *odd_headers(server, canaries),
        *no_http(server, canaries),
        *leaving(server, canaries),
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for future in [pool.submit(ask) for ask in asks]:
            future.result()
    kill_in_the_middle(server, canaries)
    assert len(canaries.all) > 50
    eventually(lambda: b'"status":499' in server.log.read_bytes(), 10, "who left is logged")
    eventually(server.is_ready, 120, "the engine is replaced")
    told = list(birds.told())
    sizes = {name: len(content) for name, content in told}
    told_to = "stdout and stderr", "/metrics", "the system's log", "traces"
    assert min(sizes[name] for name in told_to) > 0
    assert sum(".err" in name for name in sizes) > 2, "the session's folder was looked through"
    assert canaries.found_in(told) == []


def posting(server: Server, path: str, body: Mapping[str, Any], status: int | None = None) -> Ask:
    def ask() -> None:
        answer = server.post(path, body)
        assert status in (None, answer.status_code), answer.text

    return ask


def chat(canaries: Canaries, **fields: Any) -> dict[str, Any]:
    turns = [
        {"role": "system", "content": canaries.new()},
        {"role": "user", "content": canaries.new(), "name": canaries.new()},
    ]
    return {"model": models.SMALL, "messages": turns, "max_tokens": 4, **fields}


def completion(canaries: Canaries, **fields: Any) -> dict[str, Any]:
    return {"model": models.SMALL, "prompt": canaries.new(), "max_tokens": 4, **fields}


def answered(server: Server, canaries: Canaries) -> list[Ask]:
    """In every field that takes a text."""
    new = canaries.new
    tokens = completion(canaries)
    ids = server.post("/tokenize", {"model": models.SMALL, "prompt": tokens["prompt"]})
    canaries.token_ids.append(ids.json()["tokens"][2:10])
    function = {"name": "f", "arguments": json.dumps({"a": new()})}
    schema = {"type": "object", "properties": {new(): {"enum": [new()]}}, "description": new()}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    called = [
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "tool_calls": [{"id": new(), "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": new(), "content": new()},
    ]
    tool = {"type": "function", "function": {"name": "f", "description": new()}}
    bodies = [
        (CHAT, chat(canaries, stop=[new()], user=new(), metadata={new(): new()})),
        (CHAT, chat(canaries, stream=True, safety_identifier=new(), prompt_cache_key=new())),
        (CHAT, chat(canaries, response_format=form, max_tokens=20)),
        (CHAT, chat(canaries, messages=called, tools=[tool], tool_choice="none")),
        (COMPLETIONS, tokens),
        (COMPLETIONS, completion(canaries, echo=True, logprobs=1)),
        (COMPLETIONS, completion(canaries, echo=True, stream=True, user=new())),
        (COMPLETIONS, completion(canaries, n=2, bad_words=[new()], stop=new())),
        (COMPLETIONS, completion(canaries, structured_outputs={"choice": [new(), new()]})),
        (COMPLETIONS, completion(canaries, structured_outputs={"regex": new()})),
        ("/tokenize", {"model": models.SMALL, "prompt": new(), "return_token_strs": True}),
    ]
    return [posting(server, *each) for each in bodies]


def refused_fields(server: Server, canaries: Canaries) -> list[Ask]:
    """A secret where something else should be, in each field that there is."""
    asks: list[Ask] = []
    kinds = (CHAT, ChatRequest, chat), (COMPLETIONS, CompletionRequest, completion)
    for path, kind, body in kinds:
        for field in kind.model_fields:
            wrong = canaries.new(), [canaries.new()], {canaries.new(): canaries.new()}
            asks += [posting(server, path, {**body(canaries), field: each}) for each in wrong]
        asks.append(posting(server, path, {**body(canaries), canaries.new(): 1}, 400))
        forms = {"grammar": f"root ::= {canaries.new()} ("}, {"regex": f"({canaries.new()}"}
        asks += [posting(server, path, body(canaries, structured_outputs=f), 400) for f in forms]
        asks.append(posting(server, path, body(canaries, max_tokens=10_000), 400))
        asks.append(posting(server, path, body(canaries, allowed_token_ids=[10**9]), 400))
    asks.append(posting(server, COMPLETIONS, completion(canaries, prompt=[10**9]), 400))
    asks.append(posting(server, "/v1/embeddings", {"model": models.SMALL, "input": "x"}, 400))
    return asks


def refused_bodies(server: Server, canaries: Canaries) -> list[Ask]:
    """What is no request at all."""
    secret = canaries.new().encode()
    bodies = (
        b'{"model":"' + secret,
        b'{"prompt":"\xff' + secret + b'"}',
        b"[" * 10_000 + secret,
        secret * 100_000,
        b'{"model":"x","' + secret + b'":1}',
    )

    def sending(body: bytes, kind: str = "application/json") -> Ask:
        def ask() -> None:
            headers = {**server.headers, "content-type": kind}
            answer = httpx.post(server.url + CHAT, content=body, headers=headers, timeout=30)
            assert 400 <= answer.status_code < 500

        return ask

    return [*map(sending, bodies), sending(b"{}", f"text/{canaries.new()}")]


def refused_heads(server: Server, canaries: Canaries) -> list[Ask]:
    """Keys that are none, and paths and queries that are."""

    def asking(method: str, path: str, status: int, **headers: str) -> Ask:
        def ask() -> None:
            given = {**server.headers, **headers}
            answer = httpx.request(method, server.url + path, headers=given, timeout=30)
            assert answer.status_code == status, answer.text

        return ask

    new = canaries.new
    unknown = f"{access.PREFIX}user-{new().ljust(access.SECRET_LENGTH, 'y')}"
    return [
        *(
            asking("GET", "/v1/models", 401, authorization=value)
            for value in (f"Bearer {unknown}", f"Bearer {new()}", f"Basic {new()}", new())
        ),
        asking("GET", f"/v1/{new()}", 404),
        asking("POST", f"/{new()}?{new()}={new()}", 404),
        asking("GET", f"/v1/models/{new()}", 404),
        asking("GET", f"/v1/models?api_key={new()}", 200),
        asking("GET", f"/health?{new()}", 200),
        asking("DELETE", f"/v1/models?{new()}", 405),
        asking("GET", f"/-/{new()}", 404),
        posting(server, CHAT, {**chat(canaries), "model": new()}, 404),
        posting(server, f"{CHAT}?{new()}={new()}", chat(canaries), 200),
    ]


def odd_headers(server: Server, canaries: Canaries) -> list[Ask]:
    """In headers that somebody looks at, and in those that nobody does."""
    new = canaries.new
    names = (
        "x-request-id",
        "x-client-request-id",
        "user-agent",
        "cookie",
        "x-api-key",
        "traceparent",
        "tracestate",
        "x-sluice-class",
        "x-sluice-deadline-ms",
        "x-request-timeout-seconds",
        "openai-organization",
        "accept",
        "x-forwarded-for",
        "x-session-id",
        "serve_multiplexed_model_id",
    )

    def asking(headers: Mapping[str, str]) -> Ask:
        def ask() -> None:
            server.post(COMPLETIONS, completion(canaries), **headers)

        return ask

    asks = [asking({name: new()}) for name in names]
    return [*asks, asking({new(): "x"}), asking({"x-large": new() * 2000})]


def no_http(server: Server, canaries: Canaries) -> list[Ask]:
    """What no request can be made of."""
    url = urlsplit(server.url)

    def sending(content: str) -> Ask:
        def ask() -> None:
            with socket.create_connection((str(url.hostname), url.port or 0), 10) as raw:
                raw.sendall(content.encode())
                raw.recv(1000)

        return ask

    lines = (f"{canaries.new()}\r\n\r\n", f"GET /{canaries.new()} HTTP/9.9\r\n\r\n")
    bad = f"GET / HTTP/1.1\r\nhost: x\r\n{canaries.new()}\r\n\r\n"
    return [sending(each) for each in (*lines, bad)]


def leaving(server: Server, canaries: Canaries) -> list[Ask]:
    """Clients that do not wait for the end."""

    def ask() -> None:
        body = chat(canaries, stream=True, max_tokens=400, ignore_eos=True)
        with streaming(server, body) as response:
            next(response.iter_lines())

    return [ask] * 4


def streaming(server: Server, body: Mapping[str, Any]) -> Any:
    return httpx.stream("POST", server.url + CHAT, json=body, headers=server.headers, timeout=60)


def kill_in_the_middle(server: Server, canaries: Canaries) -> None:
    """The only engine is killed while it answers, and others wait for it."""
    [engine] = server.engines(models.SMALL)
    body = chat(canaries, stream=True, max_tokens=400, ignore_eos=True)
    with ThreadPoolExecutor(AT_ONCE) as pool, streaming(server, body) as response:
        lines = response.iter_lines()
        next(lines)
        bodies = [chat(canaries, max_tokens=300) for _ in range(4)]
        others = [pool.submit(posting(server, CHAT, each)) for each in bodies]
        os.kill(engine["pid"], signal.SIGKILL)
        rest = [line for line in lines if line]
        for other in others:
            other.result()
    assert '"code":"engine_' in rest[-1]
