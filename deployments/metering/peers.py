"""Asks the other router replicas for their metrics, by a call that Ray carries to each of them.

It uses `DeploymentBroadcastResponse._fetch_replica_results_async`, read against Ray 2.60.0: what is
public waits for all replicas or gives none, and one that hangs must not take the others along.
"""

import asyncio
import contextvars
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deployments.metering.sample import Snapshot

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

WITHIN_S = 1.0
"""How long a scrape waits for them."""


class Peers:
    """The replicas of a deployment that answer to `method` with a `Snapshot`."""

    def __init__(self, handle: "DeploymentHandle", method: str) -> None:
        self._handle = handle
        self._method = method

    async def __call__(self) -> Sequence[Snapshot | None]:
        """What each has answered; None for those that have not in time."""
        # Serve would take these calls for the client's own request, by what its context says.
        loop, context = asyncio.get_running_loop(), contextvars.Context()
        return await loop.create_task(self._ask(), context=context)

    async def _ask(self) -> list[Snapshot | None]:
        response = self._handle.broadcast(self._method)
        async with asyncio.timeout(WITHIN_S):
            results = await response._fetch_replica_results_async()
        answers = [asyncio.ensure_future(result.get_async()) for result in results]
        _, late = await asyncio.wait(answers, timeout=WITHIN_S)
        for answer in late:
            answer.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return [None if _failed(answer) else answer.result() for answer in answers]


def _failed(answer: asyncio.Future[Snapshot]) -> bool:
    return answer.cancelled() or answer.exception() is not None
