"""What one scrape gets: all router replicas' series, whichever of them is asked."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from deployments.metering import families, reading
from deployments.metering.exposition import page
from deployments.metering.reading import Pools
from deployments.metering.sample import Sample, Snapshot

logger = logging.getLogger(__name__)

Source = Callable[[], Iterable[Sample]]
Peers = Callable[[], Awaitable[Sequence[Snapshot | None]]]
"""Asks every router replica, this one too, maybe; None for each that has not answered."""


async def nobody() -> Sequence[Snapshot | None]:
    """There are no others."""
    return ()


@dataclass
class Metrics:
    """Of one router replica."""

    pools: Pools
    replica: str = ""
    """Its own name."""
    sources: Sequence[Source] = ()
    """What there is to tell beside what the pools have."""
    peers: Peers = nobody
    _missed: int = field(default=0, init=False)

    def own(self) -> Snapshot:
        """What this replica tells of itself."""
        samples = [*reading.of_router(self.pools), Sample(families.PEERS_MISSED, self._missed)]
        for source in self.sources:
            samples += source()
        return Snapshot(self.replica, samples)

    def all_here(self) -> list[Snapshot]:
        """The same, and what engines say of themselves."""
        return [self.own(), Snapshot(self.replica, list(reading.of_engines(self.pools)))]

    async def scrape(self) -> bytes:
        """What Prometheus reads. It is written in a thread: of many series that takes a while."""
        others = await self._others()
        return await asyncio.to_thread(page, [*self.all_here(), *others])

    async def _others(self) -> list[Snapshot]:
        try:
            answers = await self.peers()
        except Exception:  # its own series are better than none
            logger.exception("The other router replicas could not be asked for their metrics")
            answers = (None,)
        answered = [answer for answer in answers if answer is not None]
        self._missed += len(answers) - len(answered)
        return [answer for answer in answered if answer.replica != self.replica]
