"""The engine replicas of one model, as one router sees them."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from deployments.directory import Replica
from deployments.errors import EngineUnavailable
from deployments.link import BEAT_TIMEOUT_S, EngineLink
from deployments.scheduling.placement import least_loaded

_CHECK_S = 1.0


class EnginePool:
    """Keeps a link to each running replica and chooses among them.

    `update` gets the replicas that Serve says are running. A replica that Serve has taken off
    that list gets nothing new but keeps its link until its last sequence has ended.
    """

    def __init__(self, router: str, now: Callable[[], float] = time.monotonic) -> None:
        self._router = router
        self._now = now
        self._links: dict[str, EngineLink] = {}
        self._leaving: dict[str, EngineLink] = {}
        self._closed = False
        self._looked_at = now()
        self._closing: set[asyncio.Task[None]] = set()
        self._task = asyncio.get_running_loop().create_task(self._check())

    @property
    def links(self) -> list[EngineLink]:
        """The links to all running replicas."""
        return list(self._links.values())

    @property
    def facts(self) -> dict[str, Any]:
        """What the engines say of themselves; raises EngineUnavailable while there is none."""
        for link in self._links.values():
            return link.replica.facts
        raise EngineUnavailable("No engine of this model is running yet.", retry_after_s=5)

    @property
    def ready(self) -> bool:
        """True while at least one engine beats."""
        return any(link.beats for link in self._links.values())

    def update(self, replicas: list[Replica]) -> None:
        """Take over the list of running replicas."""
        if self._closed:  # Serve's news come from another thread and may be late
            return
        running = {replica.id: replica for replica in replicas}
        for name in self._links.keys() - running.keys():
            self._leaving[name] = self._links.pop(name)
        for name in running.keys() - self._links.keys():
            link = self._leaving.pop(name, None)
            self._links[name] = link or EngineLink(running[name], self._router, self._now)
        self._close_idle()

    def place(self) -> EngineLink:
        """The link for the next sequence; raises EngineUnavailable when no engine takes work."""
        link = least_loaded(link for link in self._links.values() if link.takes_work)
        if link is None:
            raise EngineUnavailable("No engine of this model is ready.", retry_after_s=5)
        return link

    async def close(self) -> None:
        """Close every link."""
        self._closed = True
        self._task.cancel()
        links = [*self._links.values(), *self._leaving.values()]
        await asyncio.gather(*(link.close() for link in links), *self._closing)

    def _close_idle(self) -> None:
        for name, link in list(self._leaving.items()):
            if not link.in_flight:
                del self._leaving[name]
                task = asyncio.get_running_loop().create_task(link.close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_S)
            self._look()

    def _look(self) -> None:
        late = self._now() - self._looked_at > BEAT_TIMEOUT_S
        self._looked_at = self._now()
        if late:  # this process stood still: what has come meanwhile may not have been read yet
            return
        for link in [*self._links.values(), *self._leaving.values()]:
            link.check()
        self._close_idle()
