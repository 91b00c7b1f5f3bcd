"""The HTTP application over a real router and a real engine server, with a scripted engine."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
from starlette.types import ASGIApp, Message

from deployments.adapters import Adapters
from deployments.dispatcher import Rules
from deployments.forms import Forms
from deployments.messages import Delta, Logprob, StructuredOutputs
from deployments.messages import Sequence as Submitted
from deployments.metering.metrics import Metrics, Peers, nobody
from deployments.router import Router
from deployments.speech import Parsing
from deployments.tokenizing import Tokenizing
from serve_app.access import Keys
from serve_app.http.app import create_app
from serve_app.http.chat_request import ChatRequest
from serve_app.http.completion_request import CompletionRequest
from serve_app.http.metrics import Requests
from serve_app.http.parsing import parse
from serve_app.http.record import Reader, Tracer
from serve_app.http.service import Service
from serve_app.limits import DEFAULT_LIMITS, Limits
from tests.unit.fakes import FACTS, FakeEngine, FakeHandle, Serving, serving, until

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
MODEL = "org/model"
BOS, OPEN = 1, 2


class Unchecked:
    """Leaves it to the engines."""

    async def check(self, form: StructuredOutputs, tenant: str, param: str) -> None:
        """Any form passes."""

    async def close(self) -> None:
        """There is nothing to end."""


def parse_chat(body: bytes, limits: Limits = DEFAULT_LIMITS) -> ChatRequest:
    """The body of a chat completion; raises `BadRequest`."""
    return parse(ChatRequest, body, limits)


def parse_completion(body: bytes, limits: Limits = DEFAULT_LIMITS) -> CompletionRequest:
    """The body of a completion; raises `BadRequest`."""
    return parse(CompletionRequest, body, limits)


class CharTokenizer:
    """Stands for deployments.tokenizing.Tokenizing: every character is a token."""

    async def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, str]] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        add_generation_prompt: bool,
        continue_final_message: bool,
        add_special_tokens: bool,
    ) -> list[int]:
        ids = [ord(char) for message in messages for char in message["content"]]
        return [BOS] * add_special_tokens + ids + [OPEN] * add_generation_prompt

    async def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return [BOS] * add_special_tokens + [ord(char) for char in text]

    def decode(self, token_ids: Sequence[int]) -> str:
        return "".join("<bos>" if i == BOS else chr(i) for i in token_ids)

    vocab_size = 0x110000
    seen: Sequence[str] = ()
    """The variables that its chat template makes something of."""

    def mentions(self, variable: str) -> bool:
        return variable in self.seen

    def all_kwargs(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return dict(given)

    async def text(self, token_ids: Sequence[int]) -> str:
        return self.decode(token_ids)

    async def strings(self, token_ids: Sequence[int]) -> list[str]:
        return [self.decode([token_id]) for token_id in token_ids]


def chat(content: str = "Hi", **fields: Any) -> dict[str, Any]:
    """A chat's body; its prompt has a token for each character, and one more."""
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **fields}


def completion(prompt: Any = "Hi", **fields: Any) -> dict[str, Any]:
    """A completion's body; a text has a token for each character, and one more."""
    return {"model": MODEL, "prompt": prompt, **fields}


def say(text: str, *token_ids: int, **more: Any) -> Delta:
    """What one step gives to a sequence: one token unless told otherwise."""
    return Delta(0, text, list(token_ids or (7,)), **more)


def row(*candidates: tuple[str, float]) -> list[Logprob]:
    """One position's candidates, the chosen first."""
    return [Logprob(ord(text[0]), value, text) for text, value in candidates]


def events(content: bytes) -> list[dict[str, Any]]:
    """The events of a stream before its `[DONE]`, which has to be there."""
    *before, done, nothing = content.split(b"\n\n")
    assert (done, nothing) == (b"data: [DONE]", b"")
    return unfinished_events(b"\n\n".join([*before, b""]))


def unfinished_events(content: bytes) -> list[dict[str, Any]]:
    """The events of a stream without a `[DONE]`."""
    *whole, nothing = content.split(b"\n\n")
    assert nothing == b""
    assert all(event.startswith(b"data: ") for event in whole)
    return [json.loads(event.removeprefix(b"data: ")) for event in whole]


class Exchange:
    """One request whose client reads when it is told to, as a real connection may."""

    def __init__(self, app: ASGIApp, path: str, body: Mapping[str, Any]) -> None:
        self.status: int | None = None
        self.headers: dict[bytes, bytes] = {}
        self.content = b""
        self.sends = 0
        self.reads = asyncio.Event()
        self.reads.set()
        self._body = json.dumps(body).encode()
        self._sent = False
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
            "client": ("127.0.0.1", 1),
        }
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def until_says(self, text: str) -> None:
        """Wait until `text` has been read."""
        await until(lambda: text.encode() in self.content, f"{text!r} in {self.content!r}")

    async def leave(self) -> None:
        """What Serve does when the client has gone: it cancels the task."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def _receive(self) -> Message:
        if self._sent:
            await asyncio.Event().wait()
        self._sent = True
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def _send(self, message: Message) -> None:
        await self.reads.wait()
        self.sends += 1
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = dict(message["headers"])
        else:
            self.content += message["body"]


@dataclass(frozen=True)
class Site:
    """One model, `MODEL`, with its engines behind the whole application."""

    servings: Sequence[Serving]
    handle: FakeHandle
    router: Router
    app: ASGIApp
    http: httpx.AsyncClient

    @property
    def serving(self) -> Serving:
        """The first engine's replica."""
        return self.servings[0]

    @property
    def engine(self) -> FakeEngine:
        """The first engine."""
        return self.serving.engine

    async def post(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """The whole answer."""
        return await self.http.post(path, json=body, headers=headers)

    def open(self, path: str, body: Mapping[str, Any]) -> Exchange:
        """An answer to be read piece by piece."""
        return Exchange(self.app, path, body)

    async def submitted(self, count: int = 1) -> list[Submitted]:
        """The sequences that the engine got, once there are `count` of them."""
        await self.engine.next_submitted(count)
        return [sequence for _, sequence in self.engine.submitted]

    def step(self, index: int, delta: Delta) -> None:
        """One step that gives `delta` to the `index`-th sequence submitted."""
        owner, sequence = self.engine.submitted[index]
        self.engine.step({owner: [msgspec.structs.replace(delta, id=sequence.id)]})

    async def answer(
        self, path: str, body: Mapping[str, Any], *scripts: Sequence[Delta]
    ) -> httpx.Response:
        """The whole answer, of which the engine says `scripts[i]` in the i-th sequence."""
        task = asyncio.ensure_future(self.post(path, body))
        await self.submitted(len(scripts))
        for index, script in enumerate(scripts):
            for delta in script:
                self.step(index, delta)
        return await task

    async def cut_short(self, path: str, body: Mapping[str, Any], sequences: int = 1) -> Exchange:
        """A stream that has begun when its engine dies."""
        exchange = self.open(path, {**body, "stream": True})
        await self.submitted(sequences)
        self.step(0, say("so far"))
        await exchange.until_says("so far")
        await self.serving.die()
        await exchange.task
        return exchange


@asynccontextmanager
async def site(
    *,
    echo: int | None = None,
    running: bool = True,
    tokenizer: Any = None,
    max_sequences: int = 64,
    max_body_bytes: int = 100_000,
    stream_buffer_chars: int = 1000,
    engines: int = 1,
    rules: Rules | None = None,
    sleeps: bool = False,
    keys: Keys | None = None,
    adapters: Adapters | None = None,
    adapter_dirs: Sequence[Path] = (),
    parsing: Parsing | None = None,
    forms: Forms | None = None,
    limits: Limits = DEFAULT_LIMITS,
    peers: Peers = nobody,
    readers: Sequence[Reader] = (),
    tracer: Tracer | None = None,
    now: Callable[[], float] = time.monotonic,
    **facts: Any,
) -> AsyncIterator[Site]:
    """A site; with `echo`, its engines say that many words by themselves."""
    async with AsyncExitStack() as stack:
        servings = [
            await stack.enter_async_context(serving(FakeEngine(echo=echo))) for _ in range(engines)
        ]
        handle, requests = FakeHandle(), Requests()
        router = Router(
            {MODEL: handle},
            max_sequences=max_sequences,
            rules=rules,
            sleepers={MODEL} if sleeps else (),
            adapters=adapters,
            now=now,
        )
        stack.push_async_callback(router.close)
        tokenizers = {MODEL: cast(Tokenizing, tokenizer or CharTokenizer())}
        service = Service(
            router,
            tokenizers,
            max_body_bytes,
            stream_buffer_chars,
            adapter_dirs={MODEL: adapter_dirs},
            parsings={} if parsing is None else {MODEL: parsing},
            forms=forms or Unchecked(),
            metrics=Metrics(router.pools, "me", (requests.samples,), peers),
            limits=limits,
        )
        app = create_app(service, keys, (requests.ended, *readers), tracer)
        # The client must get the answer to a crash; the server would log the crash itself.
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        http = httpx.AsyncClient(transport=transport, base_url="http://sluice")
        await stack.enter_async_context(http)
        if running:
            handle.publish(*(replace(s.replica, facts={**FACTS, **facts}) for s in servings))
            pool = router.pools[MODEL]
            await until(lambda: sum(link.beats for link in pool.links) == engines, "engines beat")
        yield Site(servings, handle, router, app, http)
