"""The engine replicas of one model, as one router sees them."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from deployments.admission import no_engine
from deployments.directory import Replica
from deployments.dispatcher import Dispatcher, Rules
from deployments.errors import EngineUnavailable, Overloaded
from deployments.link import LOST_AFTER_S, EngineLink
from deployments.scheduling.terms import Level

logger = logging.getLogger(__name__)

_CHECK_S = 0.25
_MOST_CALLERS = 1_000
"""Requests that may wait to be read; those that have been read wait in the queue."""


class EnginePool:
    """Keeps a link to each running replica, and a dispatcher that sends them work.

    `update` gets the replicas that Serve says are running. A replica that Serve has taken off
    that list gets nothing new but keeps its link until its last sequence has ended.
    """

    def __init__(
        self, router: str, rules: Rules | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._router = router
        self._rules = rules or Rules()
        self._now = now
        self._links: dict[str, EngineLink] = {}
        self._leaving: dict[str, EngineLink] = {}
        self.dispatcher = Dispatcher(self._links.values, self._rules, now)
        self._facts: dict[str, Any] | None = None
        self._known = asyncio.Event()
        self._callers = 0
        """Requests that cannot even be read before an engine has told of itself."""
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
        """What the engines say of themselves, or have said before they went to sleep.

        Raises EngineUnavailable while there is none.
        """
        for link in self._links.values():
            return link.replica.facts
        if self._facts is None or not self._rules.may_sleep:
            raise EngineUnavailable("No engine of this model is running yet.", retry_after_s=5)
        return self._facts

    async def known(self) -> None:
        """Wait for an engine to tell its facts, if none has yet and all may be asleep."""
        if self._known.is_set() or not self._rules.may_sleep:
            return
        if self._callers >= _MOST_CALLERS:
            raise Overloaded("Too many requests wait for this model to start.", retry_after_s=5)
        self._callers += 1
        try:
            async with asyncio.timeout(self._rules.max_wait_s):
                await self._known.wait()
        except TimeoutError:
            raise no_engine() from None
        finally:
            self._callers -= 1

    @property
    def asleep(self) -> bool:
        """True while there is no engine, and one will come for whoever asks."""
        return self._rules.may_sleep and not self._links

    @property
    def ready(self) -> bool:
        """True while at least one engine beats, or all are asleep."""
        return self.asleep or any(link.beats for link in self._links.values())

    @property
    def queued(self) -> dict[Level, float]:
        """The cost of what waits, by level; of what cannot be told yet, 1 for each request."""
        queued = {level: cost for level, (_, cost) in self.dispatcher.waiting().items()}
        queued[Level.STANDARD] += self._callers
        return queued

    @property
    def arrived(self) -> Mapping[Level, float]:
        """Work that has been asked for since this router began."""
        return self.dispatcher.arrived

    @property
    def worked(self) -> float:
        """Work that the engines have done for this router."""
        return self.dispatcher.outlook.worked

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
        for replica in replicas:
            self._facts = replica.facts
            self._known.set()
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
