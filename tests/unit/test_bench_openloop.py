"""The generators against a server that answers from a script."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import repeat

import pytest

from bench.client import Load
from bench.judgement.conversations import Talk, _hold
from bench.judgement.drain import Drain, _drain
from bench.judgement.openloop import EVEN, KEPT, Driver, Traffic
from bench.judgement.surgery import Patient, Surgeon
from bench.judgement.watching import Call, Cut, Watcher

Script = Iterator[bytes]
CALL = Call("/v1/completions", {"prompt": [1]})


def http(status: str, body: bytes, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(head) + "\r\n\r\n").encode() + body


def event(content: object) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def token(number: int, finish_reason: str | None = None) -> bytes:
    choice = {"text": "a", "token_ids": [number], "finish_reason": finish_reason}
    return event({"choices": [choice]})


USAGE = event({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
END = USAGE + b"data: [DONE]\n\n"
WHOLE = http("200 OK", token(7, "length") + END)
REFUSED = http(
    "503 Service Unavailable",
    json.dumps({"error": {"code": "overloaded"}}).encode(),
    "Retry-After: 1",
    "Retry-After-Ms: 0",
)
FAILED = http("503 Service Unavailable", b'{"error": {"code": "engine_failed"}}')


class Scripted:
    """Answers one request after the other with what the script says; keeps what was asked."""

    def __init__(self, script: Script) -> None:
        self.asked: list[dict[str, list[int]]] = []
        self._script = script

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.asked.append(json.loads(await reader.readexactly(length)))
                writer.write(next(self._script))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[tuple[str, Scripted]]:
    fake = Scripted(script)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", fake


class TestDriver:
    async def test_sends_what_is_due_and_keeps_what_came(self) -> None:
        async with scripted(iter([WHOLE, REFUSED, FAILED])) as (url, _):
            traffic = Traffic(
                url=url, model="m", arrivals=EVEN, rate=100.0, seconds=0.03, output_len=1
            )
            found = await Driver(traffic).run()
        assert [one.whole for one in found] == [True, False, False]
        assert [one.refused for one in found] == [False, True, False]
        assert [one.lost for one in found] == [False, False, True]

    async def test_sends_a_refused_request_once_more(self) -> None:
        async with scripted(iter([REFUSED, WHOLE])) as (url, fake):
            traffic = Traffic(
                url=url, model="m", arrivals=EVEN, seconds=1.0, output_len=1, retry_every=1
            )
            found = await Driver(traffic).run()
        assert [(one.attempt, one.whole) for one in found] == [(0, False), (1, True)]
        assert fake.asked[0] == fake.asked[1]

    async def test_replaces_each_request_that_ends(self) -> None:
        async with scripted(repeat(WHOLE)) as (url, fake):
            traffic = Traffic(
                url=url, model="m", arrivals=KEPT, rate=2.0, seconds=0.05, output_len=1
            )
            found = await Driver(traffic).run()
        assert len(found) == len(fake.asked) > 2
        assert all(one.whole for one in found)

    async def test_calls_a_request_lost_when_its_patience_ends(self) -> None:
        async with scripted(iter([b"HTTP/1.1 200 OK\r\n"])) as (url, _):
            traffic = Traffic(url=url, model="m", arrivals=EVEN, seconds=1.0, patience_s=0.01)
            (found,) = await Driver(traffic).run()
        assert found.lost
        assert found.error == "TimeoutError"


async def test_a_conversation_grows_by_what_was_answered_and_what_is_new() -> None:
    async with scripted(repeat(WHOLE)) as (url, fake):
        talk = Talk(
            url=url,
            model="m",
            conversations=1,
            turns=3,
            system_len=4,
            user_len=2,
            answer_len=1,
            think_s=0,
        )
        turns = await _hold(talk)
    assert [len(body["prompt"]) for body in fake.asked] == [6, 9, 12]
    assert fake.asked[1]["prompt"][:7] == [*fake.asked[0]["prompt"], 7]
    assert all(turn.outcome.whole for turn in turns)


async def test_a_draining_queue_is_probed_until_it_lets_one_in() -> None:
    async with scripted(iter([WHOLE, WHOLE, REFUSED, REFUSED, WHOLE])) as (url, _):
        drain = Drain(
            traffic=Traffic(url=url, model="m", seconds=10.0, output_len=1),
            burst=2,
            burst_deadline_s=60,
            probe_deadline_s=1,
            probe_every_s=0.001,
            settle_s=0.05,
        )
        found = await _drain(drain)
    assert [probe.admitted for probe in found.probes] == [False, False, True]
    assert [probe.told_s for probe in found.probes] == [0.0, 0.0, None]
    assert (found.lost, found.refused) == (0, 0)


class FakeSurgeon(Surgeon):
    """Nobody is hurt."""

    def __init__(self) -> None:
        super().__init__([])
        self.said: list[str] = []
        self.over = asyncio.Event()

    def stop(self) -> None:
        self.said.append("stop")

    def busiest(self) -> tuple[Patient, float]:
        return Patient(1, 2), 1.0

    def kill(self, patient: Patient) -> None:
        self.said.append("kill")
        self.over.set()

    def release(self) -> None:
        self.over.set()

    def working(self) -> bool:
        return True


class TestWatcher:
    @pytest.fixture
    def surgeon(self) -> FakeSurgeon:
        return FakeSurgeon()

    async def cut(
        self, surgeon: FakeSurgeon, first: bytes, index: int, *, exact: bool = True
    ) -> Cut:
        """A stream whose rest comes when the engines stand still for as long as they do."""
        rest = token(8, "length") + END

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(first + rest))
            writer.write(first)
            await writer.drain()
            await surgeon.over.wait()
            writer.write(rest)
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            watcher = Watcher(Load(url=f"http://127.0.0.1:{port}", model="m"), 5.0)
            return await watcher.cut(CALL, index, surgeon, exact=exact)

    async def test_kills_when_so_many_tokens_have_come(self, surgeon: FakeSurgeon) -> None:
        found = await self.cut(surgeon, token(7), 1)
        assert (found.killed, found.reached) == (True, 1)
        assert surgeon.said[:2] == ["stop", "kill"]
        assert found.transcript.token_ids == [7, 8]
        assert found.transcript.whole

    async def test_kills_before_the_first_token_when_an_engine_computes(
        self, surgeon: FakeSurgeon
    ) -> None:
        found = await self.cut(surgeon, b"", 0)
        assert (found.killed, found.reached) == (True, 0)
        assert surgeon.said == ["stop", "kill"]

    async def test_leaves_a_stream_alone_that_has_gone_further(self, surgeon: FakeSurgeon) -> None:
        found = await self.cut(surgeon, token(6) + token(7), 1)
        assert (found.killed, found.reached) == (False, 2)
        assert "kill" not in surgeon.said

    async def test_kills_it_all_the_same_when_it_need_not_be_exact(
        self, surgeon: FakeSurgeon
    ) -> None:
        found = await self.cut(surgeon, token(6) + token(7), 1, exact=False)
        assert (found.killed, found.reached) == (True, 2)

    async def test_never_kills_for_a_stream_that_has_ended(self, surgeon: FakeSurgeon) -> None:
        found = await self.cut(surgeon, token(6, "length"), 1, exact=False)
        assert not found.killed
