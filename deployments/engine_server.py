"""An engine replica's end of the token stream: routers connect, submit, and get every step."""

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Coroutine, Hashable, Iterable
from typing import Any, Protocol

import msgspec

from deployments.errors import BadRequest
from deployments.messages import (
    PROTOCOL,
    Abort,
    Delta,
    Hello,
    Load,
    Refusal,
    Sequence,
    Step,
    Submit,
    ToEngine,
)
from deployments.progress import Progress
from deployments.wire import MAX_FRAME_BYTES, Connection

logger = logging.getLogger(__name__)

BEAT_S = 0.25
"""How often a router hears from an idle engine, at the least."""
HELLO_WITHIN_S = 10.0
"""A connection that has not said hello for this long is cut."""
_MAX_HELLO_BYTES = 4096  # nobody without the secret takes more of our memory
_DRAIN_POLL_S = 0.05

Router = Connection[ToEngine]
Inbox = asyncio.Queue[Submit | Abort | None]
"""A router's messages in their order; None says that it is gone."""


class Engine(Protocol):
    """What the server needs of an engine; deployments.vllm_engine.VllmEngine is the real one."""

    last_progress: float

    @property
    def unfinished(self) -> int: ...
    def load(self) -> Load: ...
    def submit(self, owner: Hashable, sequence: Sequence) -> Coroutine[Any, Any, None]:
        """Take a sequence in, so that an abort finds it; awaiting the result starts it."""

    async def abort(self, owner: Hashable, ids: list[int]) -> None: ...
    async def abort_all(self, owner: Hashable) -> None: ...
    async def canary(self) -> None: ...


class EngineServer:
    """Accepts routers, feeds the engine, and sends each router one message per step.

    The engine must call `on_step` after each step, on the server's event loop.
    """

    def __init__(
        self,
        engine: Engine,
        secret: str,
        *,
        progress: Progress | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._secret = secret
        self._progress = progress or Progress()
        self._now = now
        self._connections: dict[Router, float] = {}
        """Everyone who is connected, and since when."""
        self._inboxes: dict[Router, Inbox] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._quiet: set[Router] = set()
        self._draining_since: float | None = None
        self._server: asyncio.Server | None = None

    async def listen(self, host: str) -> int:
        """Listen on a free port of `host`; returns the port."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(ToEngine, self._on_message, self._on_lost, self._on_made),
            host,
            0,
        )
        self._spawn(self._beat())
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def progressing(self) -> bool:
        """False while the engine core owes an answer for too long."""
        return self._progress.progressing(self._now(), self._engine.last_progress)

    def load(self) -> Load:
        """The engine's load, and whether this replica should get more."""
        return msgspec.structs.replace(
            self._engine.load(),
            progressing=self.progressing,
            draining=self._draining_since is not None,
            routers=max(1, len(self._inboxes)),
        )

    def on_step(self, batches: dict[Hashable, list[Delta]], made_at: float) -> None:
        """Send each router its deltas of this step, which the engine core made at `made_at`."""
        if not batches:
            return
        load = self.load()
        for router, deltas in batches.items():
            assert isinstance(router, Connection)
            self._quiet.discard(router)
            router.send(Step(deltas, load, made_at, self._now() - made_at))

    async def drain(self, timeout_s: float) -> None:
        """Tell routers to send no more, and wait until every sequence has ended.

        What a router sent before it was told has this long to arrive: `BEAT_S`.
        """
        start = self._now()
        if self._draining_since is None:
            self._draining_since = start
            self._send_beat(self._inboxes)
        settled = self._draining_since + (BEAT_S if self._inboxes else 0)
        end = start + timeout_s
        while self._now() < end and (self._is_busy() or self._now() < settled):  # noqa: ASYNC110
            await asyncio.sleep(_DRAIN_POLL_S)

    def _is_busy(self) -> bool:
        unread = any(not inbox.empty() for inbox in self._inboxes.values())
        return unread or self._engine.unfinished > 0

    async def close(self) -> None:
        """Stop listening and close every connection."""
        if self._server is not None:
            self._server.close()
        for router in self._connections:
            router.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            logger.error("A task of the engine server failed", exc_info=exc)

    def _on_made(self, router: Router) -> None:
        self._connections[router] = self._now()
        router.max_frame_bytes = _MAX_HELLO_BYTES

    def _on_message(self, router: Router, message: ToEngine) -> None:
        inbox = self._inboxes.get(router)
        if inbox is None:
            self._welcome(router, message)
        elif isinstance(message, Hello):
            router.abort()
        else:
            inbox.put_nowait(message)

    def _welcome(self, router: Router, message: ToEngine) -> None:
        if not isinstance(message, Hello) or not hmac.compare_digest(
            message.secret.encode(), self._secret.encode()
        ):
            logger.warning("A connection without this engine's secret is cut.")
            return router.abort()
        if message.protocol != PROTOCOL:
            router.send(Refusal(f"this engine speaks protocol {PROTOCOL}, not {message.protocol}"))
            return router.close()
        router.max_frame_bytes = MAX_FRAME_BYTES
        inbox = self._inboxes[router] = asyncio.Queue()
        self._spawn(self._work_through(router, inbox))
        return self._send_beat([router])

    def _on_lost(self, router: Router) -> None:
        self._connections.pop(router, None)
        inbox = self._inboxes.pop(router, None)
        self._quiet.discard(router)
        if inbox is not None:
            inbox.put_nowait(None)

    async def _work_through(self, router: Router, inbox: Inbox) -> None:
        """Hand a router's messages to the engine in their order; free its sequences at the end."""
        try:
            while (message := await inbox.get()) is not None:
                await self._take(router, message)
        except Exception:
            # Nobody reads its messages any more: it must know, and what it has there must go.
            logger.exception("the engine failed on a router's message")
            router.abort()
        await self._engine.abort_all(router)

    async def _take(self, router: Router, message: Submit | Abort) -> None:
        if isinstance(message, Abort):
            return await self._engine.abort(router, message.ids)
        refused = []
        for sequence in message.sequences:
            if router not in self._inboxes:
                return None
            starting = self._engine.submit(router, sequence)
            if sequence.sampling.is_slow_to_check or sequence.adapter is not None:
                # That takes a while, and so does to load an adapter: others need not wait.
                self._spawn(self._start_later(router, sequence, starting))
                continue
            error = await self._start(sequence, starting)
            if error is not None:
                refused.append(error)
        if refused:
            router.send(Step(refused, self.load()))
        return None

    async def _start_later(
        self, router: Router, sequence: Sequence, starting: Coroutine[Any, Any, None]
    ) -> None:
        error = await self._start(sequence, starting)
        if error is not None:
            router.send(Step([error], self.load()))

    async def _start(self, sequence: Sequence, starting: Coroutine[Any, Any, None]) -> Delta | None:
        try:
            await starting
        except BadRequest as exc:
            return _error(sequence, exc.message, bad_request=True, param=exc.param)
        except Exception:
            logger.exception("the engine could not take a sequence")
            return _error(sequence, "the engine could not take it")
        return None

    async def _beat(self) -> None:
        """Send a beat to each router that has heard nothing since the last one; keep watch."""
        while True:
            self._send_beat(self._quiet)
            self._quiet = set(self._inboxes)
            self._cut_strangers()
            if self._progress.canary_is_due(self._now(), self._engine.last_progress):
                self._spawn(self._send_canary())
            await asyncio.sleep(BEAT_S)

    def _cut_strangers(self) -> None:
        latest = self._now() - HELLO_WITHIN_S
        for connection, since in self._connections.items():
            if since < latest and connection not in self._inboxes:
                connection.abort()

    def _send_beat(self, routers: Iterable[Router]) -> None:
        beat = Step([], self.load())
        for router in routers:
            router.send(beat)

    async def _send_canary(self) -> None:
        # A dead engine ends the replica, and a stalled one is told by the canary's absence.
        try:
            await self._engine.canary()
        except Exception:
            logger.exception("the canary failed")
            self._progress.canary_failed()
        else:
            self._progress.canary_ended()


def _error(
    sequence: Sequence, reason: str, *, bad_request: bool = False, param: str | None = None
) -> Delta:
    return Delta(sequence.id, "", [], "error", error=reason, bad_request=bad_request, param=param)
