"""How late the event loop is: what one turn of it that takes long does to everybody else."""

import asyncio

from deployments.metering import families
from deployments.metering.histogram import Histogram
from deployments.metering.sample import Sample

_EVERY_S = 0.25


class LoopLag:
    """Asks the running loop for a call four times a second, and looks how late it comes."""

    def __init__(self) -> None:
        self.seconds = Histogram(families.COARSE_S)
        self._loop = asyncio.get_running_loop()
        self._ask()

    def samples(self) -> list[Sample]:
        """How late it has come."""
        return [Sample(families.LOOP_LAG, self.seconds)]

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _ask(self) -> None:
        self._due = self._loop.time() + _EVERY_S
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self.seconds.observe(max(0.0, self._loop.time() - self._due))
        self._ask()
