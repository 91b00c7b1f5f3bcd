"""The engine replicas of one model, as one router sees them."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from deployments.directory import Replica
from deployments.dispatcher import Dispatcher, Rules
from deployments.errors import EngineUnavailable
from deployments.link import LOST_AFTER_S, EngineLink

logger = logging.getLogger("ray.serve")

_CHECK_S = 0.25


class EnginePool:
    """Keeps a link to each running replica, and a dispatcher that sends them work.

    `update` gets the replicas that Serve says are running. A replica that Serve has taken off
    that list gets nothing new but keeps its link until its last sequence has ended.
    """

    def __init__(
        self, router: str, rules: Rules | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._router = router
        self._now = now
        self._links: dict[str, EngineLink] = {}
        self._leaving: dict[str, EngineLink] = {}
        self.dispatcher = Dispatcher(self._links.values, rules or Rules(), now)
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
            self._links[name] = link or EngineLink(
                running[name], self._router, self.dispatcher, self._now
            )
        self._close_idle()

    async def close(self) -> None:
        """Close every link."""
        self._closed = True
        self._task.cancel()
        links = [*self._links.values(), *self._leaving.values()]
        self.dispatcher.close()
        await asyncio.gather(*(link.close() for link in links), *self._closing)

    def _close_idle(self) -> None:
        for name, link in list(self._leaving.items()):
            if not link.in_flight:
                del self._leaving[name]
                self.dispatcher.lost(link, [])  # what was known of it is of no more use
                task = asyncio.get_running_loop().create_task(link.close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_S)
            try:
                self._look()
            except Exception:  # nobody would look any more
                logger.exception("Looking after the engines failed")

    def _look(self) -> None:
        late = self._now() - self._looked_at > LOST_AFTER_S
        self._looked_at = self._now()
        if late:  # this process stood still: what has come meanwhile may not have been read yet
            return
        for link in [*self._links.values(), *self._leaving.values()]:
            link.check()
        self.dispatcher.tick()
        self._leave_stalled()
        self._close_idle()

    def _leave_stalled(self) -> None:
        """Let others go on with what is with leaving engines that have come to a standstill."""
        if any(link.takes_work for link in self._links.values()):
            for link in self._leaving.values():
                if link.in_flight and not link.report.progressing:
                    self.dispatcher.lost(link, link.take_all())
