"""Streams that are read event by event, to act the moment one has come so far."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.client import Load
from bench.connection import ConnectionLost
from bench.judgement.exchange import Recorder, post
from bench.judgement.surgery import Patient, Surgeon
from bench.judgement.transcript import Transcript

_LOOK_S = 0.0005
_ON_ITS_WAY_S = 0.01  # for what had left the engines before they were stopped


@dataclass(frozen=True)
class Call:
    """A request whose answer is a stream."""

    path: str
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Cut:
    """What became of a stream whose engine was killed."""

    transcript: Transcript
    reached: int
    """Tokens that had come when the engine was killed."""
    killed: bool
    """False when the stream had ended, or was beyond its index."""
    share: float
    """Of the CPU that the engines used for it, what the killed one used."""
    hung: bool


class _Watched(Recorder):
    def __init__(self, heard: Callable[[Transcript], None]) -> None:
        super().__init__()
        self.transcript = Transcript()
        self._heard = heard

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self.transcript.feed(body)
        self._heard(self.transcript)


class Watcher:
    """Makes calls to one server."""

    def __init__(self, load: Load, patience_s: float) -> None:
        self._load = load
        self._patience_s = patience_s

    async def call(
        self, call: Call, heard: Callable[[Transcript], None] = lambda _: None
    ) -> tuple[Transcript, bool]:
        """The stream, and whether it hung. What breaks it is in its error."""
        host, port = self._load.address()
        loop = asyncio.get_running_loop()
        _, watched = await loop.create_connection(lambda: _Watched(heard), host, port)
        transcript, hung = watched.transcript, False
        try:
            async with asyncio.timeout(self._patience_s):
                answer = await watched.ask(post(self._load, call.path, call.body, {}))
            if answer.status != 200:
                said = b"".join(answer.pieces)[:300].decode(errors="replace")
                transcript.error = f"{answer.status} {said}"
        except TimeoutError:
            transcript.error, hung = f"no end within {self._patience_s:.0f} s", True
        except (OSError, ConnectionLost) as exc:
            transcript.error = repr(exc)
        finally:
            watched.close()
        return transcript, hung

    async def cut(self, call: Call, index: int, surgeon: Surgeon, *, exact: bool) -> Cut:
        """The same with its engine killed when `index` tokens have come.

        When more have come by the time the engines stand still, `exact` lets the stream go on
        unharmed.
        """
        due = asyncio.Event()
        seen = Transcript()

        def heard(transcript: Transcript) -> None:
            nonlocal seen
            seen = transcript
            if len(transcript.token_ids) >= max(index, 1) and not due.is_set():
                surgeon.stop()
                due.set()

        stream = asyncio.create_task(self.call(call, heard))
        victim: Patient | None = None
        share = 0.0
        try:
            await self._until_due(stream, due, index, surgeon)
            await asyncio.sleep(_ON_ITS_WAY_S)
            reached = len(seen.token_ids)
            runs = not stream.done() and seen.finish_reason is None
            if runs and (reached == index or not exact):
                victim, share = surgeon.busiest()
                surgeon.kill(victim)
        finally:
            surgeon.release()
        transcript, hung = await stream
        return Cut(transcript, reached, victim is not None, share, hung)

    async def _until_due(
        self,
        stream: asyncio.Task[tuple[Transcript, bool]],
        due: asyncio.Event,
        index: int,
        surgeon: Surgeon,
    ) -> None:
        """Until the stream has come so far, or has ended. Before its first token: until an engine
        computes.
        """
        wait = asyncio.create_task(due.wait())
        try:
            while not due.is_set() and not stream.done():
                timeout = None if index else _LOOK_S
                await asyncio.wait(
                    {stream, wait}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
                )
                if not index and surgeon.working():
                    break
        finally:
            wait.cancel()
        if not due.is_set():
            due.set()  # who is heard later stops nobody
            surgeon.stop()
