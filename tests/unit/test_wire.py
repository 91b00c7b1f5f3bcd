import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.importer import import_from_string
from uvicorn.server import ServerState

from serve_app.http import edge, wire

POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


async def reads_everything(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        body = await Request(scope, receive).body()
    except ClientDisconnect:
        return
    await PlainTextResponse(f"{len(body)} bytes")(scope, receive, send)


async def reads_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("no")(scope, receive, send)


class Client:
    """A connection to the server under test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def says(self, data: bytes) -> None:
        """Send it, though nobody may listen any more."""
        self.writer.write(data)
        await self.writer.drain()

    async def hears(self, text: bytes) -> bytes:
        """What comes up to the end of `text`."""
        return await asyncio.wait_for(self.reader.readuntil(text), 5)

    async def hears_all(self) -> bytes:
        """What comes until the server closes."""
        return await asyncio.wait_for(self.reader.read(), 5)

    async def floods(self, piece: bytes) -> None:
        """Send the piece again and again."""
        async with asyncio.timeout(5):
            while True:
                await self.says(piece)
                await asyncio.sleep(0)

    async def hears_while_it_floods(self, piece: bytes) -> bytes:
        """What comes until the server closes, though the client goes on sending the piece."""
        hearing = asyncio.create_task(self.hears_all())
        with suppress(ConnectionError):
            await self.floods(piece)
        return await hearing


@asynccontextmanager
async def connected(
    app: ASGIApp = reads_everything, keep_alive_s: int = 5
) -> AsyncIterator[Client]:
    """A client of a server of this protocol."""
    config = uvicorn.Config(app, lifespan="off", timeout_keep_alive=keep_alive_s, log_config=None)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: wire.Protocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()
        for connection in list(state.connections):
            connection.transport.abort()
        server.close()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], None]:
    """Sets one of the protocol's bounds."""

    def set_(bound: str, value: float) -> None:
        monkeypatch.setattr(wire, bound, value)

    return set_


def error(answer: bytes) -> tuple[bytes, str]:
    """The status line, and the code of the error in OpenAI's shape."""
    head, _, body = answer.partition(b"\r\n\r\n")
    content = json.loads(body)["error"]
    assert set(content) == {"message", "type", "param", "code"}
    assert b"application/json" in head
    return head.partition(b"\r\n")[0], content["code"]


TOO_LARGE = (b"HTTP/1.1 431 Request Header Fields Too Large", "request_header_fields_too_large")
TOO_LATE = (b"HTTP/1.1 408 Request Timeout", "request_timeout")


def test_serves_servers_speak_it_once_the_edge_is_asked_for() -> None:
    edge.middlewares()
    assert import_from_string(HTTP_PROTOCOLS["auto"]) is wire.Protocol


async def test_requests_follow_each_other_on_one_connection() -> None:
    async with connected() as client:
        for size in (5, 0, 7):
            await client.says(POST + b"Content-Length: %d\r\n\r\n" % size + b"x" * size)
            assert (await client.hears(b"%d bytes" % size)).startswith(OK)


async def test_a_request_may_come_byte_by_byte() -> None:
    async with connected() as client:
        for byte in POST + b"Content-Length: 3\r\n\r\nabc":
            await client.says(bytes([byte]))
        assert await client.hears(b"3 bytes")


async def test_what_is_no_http_is_a_400_in_openais_shape() -> None:
    async with connected() as client:
        await client.says(b"\x16\x03\x01 hello\r\n\r\n")
        assert error(await client.hears_all()) == (b"HTTP/1.1 400 Bad Request", "invalid_http")


@pytest.mark.parametrize(
    "piece", [b"x" * 10_000, b"x-header: x\r\n" * 1000], ids=["a header", "headers"]
)
async def test_an_endless_head_is_cut_off_with_a_431(piece: bytes) -> None:
    async with connected() as client:
        await client.says(POST + b"x-first: x")
        assert error(await client.hears_while_it_floods(piece)) == TOO_LARGE


async def test_a_head_that_does_not_come_to_its_end_is_a_408(
    short: Callable[[str, float], None],
) -> None:
    short("HEAD_S", 0.05)
    async with connected() as client:
        await client.says(POST)
        assert error(await client.hears_all()) == TOO_LATE


async def test_so_is_a_second_one_on_the_same_connection(
    short: Callable[[str, float], None],
) -> None:
    short("HEAD_S", 0.05)
    async with connected() as client:
        await client.says(POST + b"Content-Length: 1\r\n\r\nx" + POST)
        await client.hears(b"1 bytes")
        await client.says(b"x-")
        assert error(await client.hears_all()) == TOO_LATE


async def test_who_connects_and_says_nothing_is_let_go_without_a_word(
    short: Callable[[str, float], None],
) -> None:
    short("HEAD_S", 0.05)
    async with connected() as client:
        assert await client.hears_all() == b""


async def test_a_slow_body_is_no_slow_head(short: Callable[[str, float], None]) -> None:
    short("HEAD_S", 0.05)
    async with connected() as client:
        await client.says(POST + b"Content-Length: 1\r\n\r\n")
        await asyncio.sleep(0.1)  # longer than a head may take
        await client.says(b"x")
        assert await client.hears(b"1 bytes")


async def test_an_answer_before_the_end_of_the_body_is_read_and_then_the_connection_ends(
    short: Callable[[str, float], None],
) -> None:
    short("LINGER_S", 0.05)
    async with connected(reads_nothing) as client:
        await client.says(CHUNKED)
        assert (await client.hears_all()).endswith(b"no")


async def test_a_body_without_end_is_cut_off_behind_the_answer() -> None:
    async with connected(reads_nothing) as client:
        await client.says(CHUNKED)
        assert await client.hears(b"no")
        with pytest.raises(ConnectionError):
            await client.hears_while_it_floods(b"8000\r\n" + b"x" * 0x8000 + b"\r\n")


async def test_so_is_whatever_follows_what_was_refused() -> None:
    async with connected() as client:
        await client.says(b"\x00\r\n\r\n")
        assert error(await client.hears_all())[1] == "invalid_http"
        with pytest.raises(ConnectionError):
            await client.floods(b"x" * 100_000)


async def test_a_body_that_ends_behind_the_answer_leaves_the_connection_whole(
    short: Callable[[str, float], None],
) -> None:
    short("LINGER_S", 0.2)
    async with connected(reads_nothing) as client:
        await client.says(POST + b"Content-Length: 3\r\n\r\na")
        assert await client.hears(b"no")
        await client.says(b"bc")
        await asyncio.sleep(0.3)  # longer than it would have lingered
        await client.says(POST + b"Content-Length: 0\r\n\r\n")
        assert await client.hears(b"no")


async def test_a_connection_at_rest_ends_after_the_keep_alive_time() -> None:
    async with connected(reads_nothing, keep_alive_s=0) as client:
        await client.says(POST + b"Content-Length: 3\r\n\r\na")
        assert await client.hears(b"no")
        await client.says(b"bc")
        assert await client.hears_all() == b""


async def test_what_is_wrong_behind_a_request_does_not_mix_with_its_answer() -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def answers_late(scope: Scope, receive: Receive, send: Send) -> None:
        started.set()
        await go.wait()

    async with connected(answers_late) as client:
        await client.says(POST + b"Content-Length: 0\r\n\r\n")
        await started.wait()
        await client.says(b"\x00\x00\r\n\r\n")
        assert await client.hears_all() == b""
        go.set()
