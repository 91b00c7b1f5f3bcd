"""What a request's reader reads: the deltas of its sequences, as they come."""

import asyncio
from collections.abc import Callable, Sequence

from deployments.messages import Delta

Indexed = tuple[int, Delta]
"""A delta and the index of its sequence within the request."""


Shown = Callable[[Sequence[Indexed]], object]


def _unheard(_: Sequence[Indexed]) -> None:
    """Nobody counts."""


class Stream:
    """A one-reader queue of deltas that never makes the engine's step wait.

    `push` is called for each delta on the event loop; `read` returns everything that has come
    since, so a reader that is behind gets fewer and larger portions. One that is behind by more
    than `limit` characters is cut off: `on_overflow` is called, once, to end it.
    """

    __slots__ = (
        "_create_future",
        "_error",
        "_limit",
        "_pending",
        "_pending_chars",
        "_waiter",
        "begun",
        "on_overflow",
        "predicted_s",
        "shown",
        "unfinished",
        "waited_s",
    )

    def __init__(self, count: int, limit: int, shown: Shown = _unheard) -> None:
        self.unfinished = count
        """How many sequences have not had their last delta."""
        self.shown = shown
        """To be told of what has been written to the client."""
        self.begun = False
        """True once the first delta of any sequence has come."""
        self.waited_s = 0.0
        """How long the request waited in the router; known once it has begun."""
        self.predicted_s = 0.0
        """How long its first token was to take, when it was admitted."""
        self.on_overflow: Callable[[], object] | None = None
        self._limit = limit
        self._pending: list[Indexed] = []
        self._pending_chars = 0
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        # Asked for once: on Python 3.11 every question for the running loop is a system call.
        self._create_future = asyncio.get_running_loop().create_future

    @property
    def has_pending(self) -> bool:
        """True while a read would return at once with deltas."""
        return bool(self._pending)

    def push(self, index: int, delta: Delta) -> None:
        """Add one delta; called by the link that the engine's message came over."""
        if delta.finish_reason is not None:
            self.unfinished -= 1
        self._pending.append((index, delta))
        self._pending_chars += len(delta.text)
        if self._waiter is not None:
            self._wake()
        elif self._pending_chars > self._limit and self.on_overflow is not None:
            on_overflow, self.on_overflow = self.on_overflow, None
            on_overflow()

    def fail(self, error: BaseException) -> bool:
        """End the stream with `error`, which the reader gets after what came before it.

        False where it has ended before.
        """
        if self._error is not None or not self.unfinished:
            return False
        self._error = error
        self._wake()
        return True

    async def ready(self) -> None:
        """Wait until a read would not have to, which it does by itself, for less."""
        if not self._pending and self._error is None and self.unfinished:
            self._waiter = self._create_future()
            await self._waiter

    async def read(self) -> Sequence[Indexed]:
        """Everything new, at least one delta; empty when all sequences have ended.

        Raises what ended the stream early.
        """
        if not self._pending and self._error is None and self.unfinished:
            self._waiter = self._create_future()
            await self._waiter
        if not self._pending:
            if self._error is not None:
                raise self._error
            return ()
        pending, self._pending = self._pending, []
        self._pending_chars = 0
        return pending

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
