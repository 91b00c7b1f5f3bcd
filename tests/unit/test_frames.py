"""Frames: whole messages arrive in order, and a bad peer is cut off without harm."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments import wire
from deployments.messages import (
    PROTOCOL,
    Abort,
    Adapter,
    Delta,
    Hello,
    Load,
    Pooling,
    Reasoning,
    Refusal,
    Repetition,
    Sampling,
    Sequence,
    Step,
    StructuredOutputs,
    Submit,
    ToEngine,
)
from deployments.wire import Connection
from tests.unit.fakes import until
from tests.unit.loops import on_both_loops
from tests.unit.peers import Peer, ScriptedEngine, router_at, scripted_engine


class FakeTransport(asyncio.Transport):
    """Keeps what is written, and reports the end of the connection as asyncio does: later."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.aborted = False
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.aborted or self.closed

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed = True


def connected(peer: Peer) -> FakeTransport:
    transport = FakeTransport()
    peer.connection.connection_made(transport)
    return transport


def frames(*messages: Any) -> bytes:
    """The bytes that stand for these messages."""
    sender = Peer(ToEngine)
    transport = connected(sender)
    sender.send(*messages)
    return bytes(transport.written)


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "little") + body


texts = st.text(max_size=20)
numbers = st.integers(0, 2**31)
outputs = st.builds(
    StructuredOutputs,
    json=st.none() | texts,
    json_object=st.booleans(),
    regex=st.none() | texts,
    choice=st.none() | st.lists(texts, max_size=3).map(tuple),
)
samplings = st.builds(
    Sampling,
    max_tokens=numbers,
    temperature=st.floats(0, 2),
    stop=st.just(()),
    structured_outputs=st.none() | outputs,
    reasoning=st.none() | st.builds(Reasoning, ended=st.booleans(), chat_template_kwargs=texts),
    allowed_token_ids=st.none() | st.lists(numbers, max_size=3).map(tuple),
    bad_words=st.lists(texts, max_size=3).map(tuple),
    repetition_detection=st.none() | st.builds(Repetition, numbers, numbers, numbers),
)
sequences = st.builds(
    Sequence,
    id=numbers,
    prompt_token_ids=st.lists(numbers, max_size=50),
    sampling=samplings,
    emitted_token_ids=st.lists(numbers, max_size=50),
    cache_salt=st.none() | texts,
    pooling=st.none() | st.builds(Pooling, task=texts),
    adapter=st.none() | st.builds(Adapter, id=st.integers(1, 2**63 - 1), name=texts, path=texts),
)
to_engine = st.one_of(
    st.builds(Hello, protocol=numbers, router=texts, secret=texts),
    st.builds(Submit, sequences=st.lists(sequences, max_size=3)),
    st.builds(Abort, ids=st.lists(numbers, max_size=20)),
)


class TestFrames:
    @given(st.lists(to_engine, max_size=5), st.data())
    def test_messages_come_whole_and_in_order_however_the_bytes_are_cut(
        self, messages: list[Any], data: st.DataObject
    ) -> None:
        raw = frames(*messages)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=20)))
        receiver = Peer(ToEngine)
        connected(receiver)
        for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
            receiver.connection.data_received(raw[start:end])
        assert receiver.received == messages

    def test_messages_come_whole_byte_by_byte(self) -> None:
        messages = [Abort([1, 2]), Hello(PROTOCOL, "é", "s"), Abort([])]
        receiver = Peer(ToEngine)
        connected(receiver)
        for byte in frames(*messages):
            receiver.connection.data_received(bytes([byte]))
        assert receiver.received == messages

    def test_each_message_is_delivered_as_soon_as_its_last_byte_is_there(self) -> None:
        first, second = frames(Abort([1])), frames(Abort([2]))
        receiver = Peer(ToEngine)
        connected(receiver)
        receiver.connection.data_received(first + second[:-1])
        assert receiver.received == [Abort([1])]
        receiver.connection.data_received(second[-1:])
        assert receiver.received == [Abort([1]), Abort([2])]

    def test_the_buffer_of_a_sent_message_is_not_used_again_for_the_next(self) -> None:
        kept: list[bytes] = []
        sender = Peer(ToEngine)
        transport = connected(sender)
        transport.write = kept.append  # type: ignore[assignment,method-assign]
        sender.send(Abort([1]), Abort([2, 3]))
        assert b"".join(kept) == frames(Abort([1]), Abort([2, 3]))


class TestBadPeer:
    def test_is_cut_off_at_the_length_of_an_oversized_frame(self) -> None:
        receiver = Peer(ToEngine)
        transport = connected(receiver)
        receiver.connection.data_received((wire.MAX_FRAME_BYTES + 1).to_bytes(4, "little"))
        assert transport.aborted

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"\xc1",
            b"GET / HTTP/1.1",
            frames(Step([], Load()))[4:] + b"more",
            frames(Refusal("x"))[4:],  # a router's message
            b"\x94\x00\x01\xa2\xff\xfe\xa1s",  # a Hello whose name is not UTF-8
            b"\x95\x00\x01\xa1r\xa1s" + b"\x91" * 100_000,  # ... with something very deep behind
            b"\x92\x01\xdd\xff\xff\xff\xff",  # a Submit of four thousand million sequences
        ],
    )
    def test_is_cut_off_for_a_frame_that_is_no_message(self, body: bytes) -> None:
        receiver = Peer(ToEngine)
        transport = connected(receiver)
        receiver.connection.data_received(frame(body))
        assert transport.aborted
        assert receiver.received == []

    @given(st.binary(max_size=200))
    def test_does_no_harm_with_any_bytes(self, raw: bytes) -> None:
        receiver = Peer(ToEngine)
        transport = connected(receiver)
        receiver.connection.data_received(frame(raw))
        assert transport.aborted == (not receiver.received)

    @given(to_engine, st.data())
    def test_does_no_harm_with_a_damaged_message(self, message: Any, data: st.DataObject) -> None:
        raw = bytearray(frames(message))
        raw[data.draw(st.integers(4, len(raw) - 1))] = data.draw(st.integers(0, 255))
        receiver = Peer(ToEngine)
        transport = connected(receiver)
        receiver.connection.data_received(bytes(raw))
        assert transport.aborted == (not receiver.received)

    def test_is_not_heard_any_more_once_it_is_cut_off(self) -> None:
        receiver = Peer(ToEngine)
        connected(receiver)
        heard: list[Any] = []

        def cut_off(connection: Connection[Any], message: Any) -> None:
            heard.append(message)
            connection.abort()

        receiver.connection._on_message = cut_off
        receiver.connection.data_received(frames(Abort([1]), Abort([2])))
        assert heard == [Abort([1])]


class TestOverSockets:
    @on_both_loops
    async def test_a_large_message_arrives_whole_between_small_ones(
        self, scripted: ScriptedEngine
    ) -> None:
        large = Submit([Sequence(1, list(range(1_000_000)), Sampling(5))])
        async with router_at(scripted.replica, hello=False) as router:
            router.send(Abort([1]), large, Abort([2]))
            await until(lambda: scripted.peers and len(scripted.peers[0].received) == 3)
        assert scripted.peers[0].received == [Abort([1]), large, Abort([2])]

    @on_both_loops
    async def test_what_was_sent_before_a_close_still_arrives(
        self, scripted: ScriptedEngine
    ) -> None:
        async with router_at(scripted.replica, hello=False) as router:
            for number in range(1000):
                router.send(Abort(list(range(number))))
            router.connection.close()
            await router.is_cut_off()
            engine = scripted.peers[0]
            await engine.is_cut_off()
        assert len(engine.received) == 1000

    @on_both_loops
    async def test_what_is_sent_after_a_close_is_dropped(self, scripted: ScriptedEngine) -> None:
        async with router_at(scripted.replica, hello=False) as router:
            router.connection.close()
            assert not router.connection.is_open
            router.send(Abort([1]))
            await router.is_cut_off()
            router.send(Abort([2]))
            await scripted.peers[0].is_cut_off()
        assert scripted.peers[0].received == []

    @on_both_loops
    async def test_the_end_is_reported_once_to_either_end(self, scripted: ScriptedEngine) -> None:
        async with router_at(scripted.replica, hello=False) as router:
            router.send(Abort([1]))
            await until(lambda: scripted.peers and scripted.peers[0].received)
            scripted.peers[0].connection.abort()
            scripted.peers[0].connection.close()
            await router.is_cut_off()
            router.connection.abort()
        assert (router.lost, scripted.peers[0].lost) == (1, 1)

    @on_both_loops
    async def test_garbage_ends_the_connection_and_nothing_else(
        self, scripted: ScriptedEngine
    ) -> None:
        async with router_at(scripted.replica, hello=False) as good:
            reader, writer = await asyncio.open_connection("127.0.0.1", scripted.port)
            writer.write(b"\x94\x00\x01\xa2\xff\xfe\xa1s".join([b"\x08\0\0\0", b""]))
            assert await reader.read() == b""
            writer.close()
            good.send(Abort([1]))
            await until(lambda: scripted.peers[0].received == [Abort([1])])

    @on_both_loops
    async def test_a_peer_that_reads_nothing_is_cut_off_when_too_much_waits_for_it(
        self, scripted: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(wire, "MAX_UNSENT_BYTES", 1 << 20)
        async with router_at(scripted.replica, hello=False) as router:
            await until(lambda: scripted.peers and scripted.peers[0].connection.is_open)
            _transport(scripted.peers[0]).pause_reading()
            message, sent = Step([Delta(1, "x" * 100_000, [])], Load()), 0
            while router.connection.is_open:
                router.send(message)
                sent += 1
                assert sent < 1000, "a hundred megabytes wait for a peer that reads nothing"
            await router.is_cut_off()
        assert sent > 10

    @on_both_loops
    async def test_one_large_message_does_not_make_a_peer_that_reads_be_behind(
        self, scripted: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(wire, "MAX_UNSENT_BYTES", 1 << 20)
        large = Refusal("x" * (16 << 20))
        async with router_at(scripted.replica, hello=False) as router:
            await until(lambda: scripted.peers and scripted.peers[0].connection.is_open)
            scripted.peers[0].send(large, Refusal("after it"))
            await router.hears(Refusal, 2)
        assert [len(message.reason) for message in router.received] == [16 << 20, 8]


@pytest.fixture
async def scripted() -> Any:
    async with scripted_engine() as engine:
        yield engine


def _transport(peer: Peer) -> asyncio.Transport:
    transport = peer.connection._transport
    assert transport is not None
    return transport
