"""Either end of a connection, played by the test: it keeps all that it hears."""

import asyncio
from collections.abc import AsyncIterator, Callable
from collections.abc import Sequence as SequenceOf
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from deployments.directory import Replica
from deployments.link import Dispatch, EngineLink
from deployments.messages import (
    PROTOCOL,
    Adapter,
    Delta,
    Hello,
    Load,
    Pooling,
    Sampling,
    Sequence,
    Step,
    Submit,
    ToEngine,
    ToRouter,
)
from deployments.metering.meter import Meter
from deployments.scheduling.terms import Terms
from deployments.stream import Stream
from deployments.ticket import Ticket
from deployments.wire import Connection
from tests.unit.fakes import FACTS, SECRET, FakeClock, until

SAMPLING = Sampling(max_tokens=5)


class Peer:
    """One end of a connection."""

    def __init__(self, incoming: Any) -> None:
        self.received: list[Any] = []
        self.lost = 0
        """How often the end of the connection has been reported."""
        self.connection: Connection[Any] = Connection(incoming, self._on_message, self._on_lost)

    def send(self, *messages: msgspec.Struct) -> None:
        for message in messages:
            self.connection.send(message)

    def of(self, kind: type[Any]) -> list[Any]:
        """The messages of one kind, in their order."""
        return [message for message in self.received if isinstance(message, kind)]

    async def hears(self, kind: type[Any], count: int = 1) -> Any:
        """Wait for the `count`-th message of this kind; returns it."""
        await until(lambda: len(self.of(kind)) >= count, f"{count} x {kind.__name__} has come")
        return self.of(kind)[count - 1]

    async def is_cut_off(self) -> None:
        """Wait for the end of the connection."""
        await until(lambda: self.lost, "the connection is lost")

    def _on_message(self, _: Connection[Any], message: Any) -> None:
        self.received.append(message)

    def _on_lost(self, _: Connection[Any]) -> None:
        self.lost += 1


def submit(*ids: int) -> Submit:
    return Submit([Sequence(i, [1, 2], SAMPLING) for i in ids])


def deltas(peer: Peer) -> list[list[Delta]]:
    """The deltas a router has got, by message, without the beats."""
    return [step.deltas for step in peer.of(Step) if step.deltas]


@asynccontextmanager
async def router_at(
    replica: Replica, *, hello: bool = True, router: str = "router"
) -> AsyncIterator[Peer]:
    """A router that is connected to `replica` and, unless told otherwise, has said hello."""
    peer = Peer(ToRouter)
    await asyncio.get_running_loop().create_connection(
        lambda: peer.connection, replica.host, replica.port
    )
    if hello:
        peer.send(Hello(PROTOCOL, router, replica.secret))
        await peer.hears(Step)
    try:
        yield peer
    finally:
        peer.connection.abort()
        await peer.is_cut_off()


class ScriptedEngine:
    """A listening engine end that answers nothing by itself."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.peers: list[Peer] = []
        """One for each connection that was made, in their order."""
        self.port = 0
        self.server: asyncio.Server | None = None

    @property
    def replica(self) -> Replica:
        return Replica(self.name, "127.0.0.1", self.port, SECRET, dict(FACTS))

    async def listen(self) -> None:
        """Listen, on the same port as before if there was one."""
        self.server = await asyncio.get_running_loop().create_server(
            self._accept, "127.0.0.1", self.port
        )
        self.port = self.server.sockets[0].getsockname()[1]

    async def router(self, number: int = 1) -> Peer:
        """Wait for the `number`-th router to say hello; returns our end of its connection."""
        await until(lambda: len(self.peers) >= number, f"{number} connections")
        peer = self.peers[number - 1]
        await peer.hears(Hello)
        return peer

    async def welcome(self, number: int = 1, load: Load | None = None) -> Peer:
        """Wait for the `number`-th router and send it its first beat."""
        peer = await self.router(number)
        peer.send(Step([], load or Load()))
        return peer

    async def submitted(self, peer: Peer, count: int) -> list[int]:
        """Wait for `count` sequences from a router; returns all their ids."""

        def ids() -> list[int]:
            return [s.id for submit in peer.of(Submit) for s in submit.sequences]

        await until(lambda: len(ids()) >= count, f"{count} sequences have come")
        return ids()

    async def close(self) -> None:
        """Stop listening and cut off everyone."""
        if self.server is not None:
            self.server.close()
            await self.server.wait_closed()
        for peer in self.peers:
            # One that has just been accepted has no transport to abort yet.
            await until(lambda p=peer: p.connection.is_open or p.lost)  # type: ignore[misc]
            peer.connection.abort()
            await peer.is_cut_off()

    def _accept(self) -> Connection[Any]:
        self.peers.append(Peer(ToEngine))
        return self.peers[-1].connection


@asynccontextmanager
async def scripted_engine(name: str = "scripted") -> AsyncIterator[ScriptedEngine]:
    """An engine end that does what the test says."""
    engine = ScriptedEngine(name)
    await engine.listen()
    try:
        yield engine
    finally:
        await engine.close()


class Recorder:
    """The `Dispatch` of a link: it keeps all that it is told, and does nothing about it."""

    def __init__(self) -> None:
        self.meter = Meter()
        self.told: list[tuple[Any, ...]] = []
        """`("began", ticket)`, `("ended", ticket, delta)`, `("lost", tickets)`, in their order."""
        self.tokens: list[int] = []
        """What each message has brought."""

    @property
    def lost_tickets(self) -> list[Ticket]:
        """All that were lost."""
        return [ticket for what, *rest in self.told if what == "lost" for ticket in rest[0]]

    def began(self, link: EngineLink, ticket: Ticket, delta: Delta) -> None:
        self.told.append(("began", ticket))

    def ended(self, link: EngineLink, ticket: Ticket, delta: Delta) -> None:
        self.told.append(("ended", ticket, delta))

    def lost(self, link: EngineLink, tickets: list[Ticket]) -> None:
        self.told.append(("lost", tickets))

    def heard(self, link: EngineLink, tokens: int) -> None:
        self.tokens.append(tokens)


@asynccontextmanager
async def linked(
    replica: Replica, now: Callable[[], float], dispatch: Dispatch | None = None
) -> AsyncIterator[EngineLink]:
    """A link to `replica`, connected or not."""
    link = EngineLink(replica, "router", dispatch or Recorder(), now)
    try:
        yield link
    finally:
        await link.close()


@asynccontextmanager
async def welcomed(
    engine: ScriptedEngine,
    clock: FakeClock,
    load: Load | None = None,
    dispatch: Dispatch | None = None,
) -> AsyncIterator[tuple[EngineLink, Peer]]:
    """A link that `engine` has welcomed, and the engine's end of it."""
    async with linked(engine.replica, clock, dispatch) as link:
        peer = await engine.welcome(load=load)
        await until(lambda: link.beats or not link.report.progressing, "the beat is heard")
        yield link, peer


def ticket(
    stream: Stream | None = None,
    index: int = 0,
    *,
    prompt: SequenceOf[int] = (1, 2),
    sampling: Sampling | Pooling = SAMPLING,
    terms: Terms | None = None,
    expected_output: float = 5.0,
    now: float = 1000.0,
    adapter: Adapter | None = None,
) -> Ticket:
    """A sequence that has just come to the router."""
    return Ticket(
        list(prompt),
        sampling,
        stream or Stream(1, 1000),
        index,
        terms or Terms(),
        expected_output=expected_output,
        now=now,
        adapter=adapter,
    )


def identity(ticket: Ticket) -> int:
    """Under which id the engine has it."""
    assert ticket.place is not None
    return ticket.place[1]


def start(
    link: EngineLink, count: int = 1, cached: int = 0, terms: Terms | None = None
) -> tuple[Stream, list[Ticket]]:
    """Submit `count` sequences of one request."""
    stream = Stream(count, 1000)
    tickets = [ticket(stream, index, terms=terms) for index in range(count)]
    for each in tickets:
        link.submit(each, cached)
    return stream, tickets


async def tell(link: EngineLink, peer: Peer, *deltas: Delta) -> None:
    """The engine sends a step, and the link has worked through it."""
    load = Load(step_time_s=link.report.step_time_s + 1)  # told apart from the last one
    peer.send(Step(list(deltas), load))
    await until(lambda: link.report == load, "the step is heard")
