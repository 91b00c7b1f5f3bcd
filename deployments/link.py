"""A router's connection to one engine replica."""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable

from deployments.directory import Replica
from deployments.errors import EngineFailed
from deployments.messages import (
    PROTOCOL,
    Abort,
    Hello,
    Load,
    Refusal,
    Sampling,
    Sequence,
    Step,
    Submit,
    ToRouter,
)
from deployments.stream import Stream
from deployments.wire import Connection

logger = logging.getLogger("ray.serve")

BEAT_TIMEOUT_S = 3.0
"""An engine that has not been heard for this long gets no new work."""
LOST_AFTER_S = 10.0
"""An engine that has not been heard for this long has lost what it had, too."""
_FIRST_RETRY_S, _LAST_RETRY_S = 0.1, 2.0
_NEVER = float("-inf")


class EngineLink:
    """Connects, stays connected until closed, and carries sequences there and deltas back.

    Everything that is submitted or aborted in one turn of the event loop goes in one message.
    """

    def __init__(self, replica: Replica, router: str, now: Callable[[], float]) -> None:
        self.replica = replica
        self.load = Load()
        self.others = 0
        """Sequences of other routers on this engine, by its last report."""
        self._router = router
        self._now = now
        self._connected_at = self._heard_at = _NEVER
        self._retry_s = _FIRST_RETRY_S
        self._ids = itertools.count()
        self._streams: dict[int, tuple[Stream, int]] = {}
        self._starting: list[Sequence] = []
        self._aborting: list[int] = []
        self._connection: Connection[ToRouter] | None = None
        self._lost = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._stay_connected())

    @property
    def in_flight(self) -> int:
        """Sequences that this router has there."""
        return len(self._streams)

    @property
    def kv_cache_usage(self) -> float:
        """Share of KV blocks in use, 0 to 1, by the engine's last report."""
        return self.load.kv_cache_usage

    @property
    def beats(self) -> bool:
        """True while the engine is heard and says that it makes progress."""
        return self._now() - self._heard_at < BEAT_TIMEOUT_S and self.load.progressing

    @property
    def takes_work(self) -> bool:
        """True while new sequences may be sent there."""
        return self.beats and not self.load.draining

    def submit(self, prompt: list[int], sampling: Sampling, stream: Stream, index: int) -> int:
        """Start a sequence whose deltas go to `stream` under `index`; returns its id."""
        self._flush_soon()
        sequence = Sequence(next(self._ids), prompt, sampling)
        self._streams[sequence.id] = (stream, index)
        self._starting.append(sequence)
        return sequence.id

    def forget(self, sequence_id: int) -> None:
        """Abort a sequence if it is still under way; its stream gets nothing more."""
        if self._streams.pop(sequence_id, None) is not None:
            self._flush_soon()
            self._aborting.append(sequence_id)

    def check(self) -> None:
        """Drop a connection over which nothing has come for too long. Call it now and then."""
        connection = self._connection
        heard_at = max(self._heard_at, self._connected_at)
        if connection is not None and self._now() - heard_at > LOST_AFTER_S:
            logger.error("Engine replica %s is silent; its connection is cut.", self.replica.id)
            connection.abort()

    async def close(self) -> None:
        """Disconnect for good; what is still under way fails."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def _flush_soon(self) -> None:
        if not self._starting and not self._aborting:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        starting, self._starting = self._starting, []
        aborting, self._aborting = self._aborting, []
        connection = self._connection
        if connection is None:
            return  # they failed with the connection
        if starting:
            connection.send(Submit(starting))
        if aborting:
            connection.send(Abort(aborting))

    def _on_message(self, _: Connection[ToRouter], message: ToRouter) -> None:
        if isinstance(message, Refusal):
            logger.error("Engine replica %s refuses: %s", self.replica.id, message.reason)
            return
        self._heard_at = self._now()
        self.load = load = message.load
        if message.deltas:
            self._deliver(message)
        self.others = max(0, load.running + load.waiting - len(self._streams))

    def _deliver(self, step: Step) -> None:
        streams = self._streams
        for delta in step.deltas:
            entry = streams.get(delta.id)
            if entry is None:
                continue  # aborted while it was on its way
            entry[0].push(entry[1], delta)
            if delta.finish_reason is not None:
                streams.pop(delta.id, None)

    def _on_lost(self, _: Connection[ToRouter]) -> None:
        self._connection = None
        if self._heard_at != _NEVER:  # it was a working connection
            self._retry_s = _FIRST_RETRY_S
        self._heard_at = _NEVER
        self._lost.set()
        self._fail_all()

    def _fail_all(self) -> None:
        streams, self._streams = self._streams, {}
        self._starting.clear()
        self._aborting.clear()
        for stream, _ in streams.values():
            stream.fail(EngineFailed("The engine that worked on this request was lost."))

    async def _stay_connected(self) -> None:
        try:
            while True:
                try:
                    await self._connect()
                    await self._lost.wait()
                except OSError as exc:
                    logger.debug("No connection to engine replica %s: %s", self.replica.id, exc)
                except Exception:
                    logger.exception("Connecting to engine replica %s failed", self.replica.id)
                await asyncio.sleep(self._retry_s)
                self._retry_s = min(2 * self._retry_s, _LAST_RETRY_S)
        finally:
            if self._connection is not None:
                self._connection.abort()  # the engine frees everything of ours when we are gone
            self._fail_all()

    async def _connect(self) -> None:
        self._lost.clear()
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection[ToRouter](ToRouter, self._on_message, self._on_lost),
            self.replica.host,
            self.replica.port,
        )
        self._connected_at = self._now()
        self._connection = connection
        connection.send(Hello(PROTOCOL, self._router, self.replica.secret))
