"""The router: takes requests in, streams their deltas, frees what is left.

One lives in each router replica, on its event loop. It knows no HTTP.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deployments import directory
from deployments.directory import Replica
from deployments.dispatcher import Rules
from deployments.errors import BadRequest, ModelNotFound, Overloaded
from deployments.messages import Sampling
from deployments.pool import EnginePool
from deployments.scheduling.terms import Terms
from deployments.stream import Stream

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

Prompt = list[int]
_ON_NO_TERMS = Terms()


class Router:
    """Requests in, streams out, over the engines of every model."""

    def __init__(
        self,
        engines: Mapping[str, "DeploymentHandle"],
        *,
        max_sequences: int,
        rules: Rules | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_sequences = max_sequences
        identity = uuid.uuid4().hex
        self.pools = {name: EnginePool(identity, rules, now) for name in engines}
        loop = asyncio.get_running_loop()
        self._stop_watching = [
            directory.watch(handle, _updater(loop, self.pools[name]))
            for name, handle in engines.items()
        ]

    def pool(self, model: str) -> EnginePool:
        """The engines of `model`; raises ModelNotFound."""
        try:
            return self.pools[model]
        except KeyError:
            raise ModelNotFound(f"The model '{model}' does not exist.", param="model") from None

    @contextmanager
    def generate(
        self,
        model: str,
        sequences: list[tuple[Prompt, Sampling]],
        terms: Terms = _ON_NO_TERMS,
        *,
        buffer_limit: int,
    ) -> Iterator[Stream]:
        """Take in `sequences` and give the stream of their deltas, by index.

        On leaving, however, whatever is still waiting or under way is freed. `buffer_limit` is in
        characters of text not yet read. Raises ModelNotFound, BadRequest, Overloaded or
        EngineUnavailable.
        """
        dispatcher = self.pool(model).dispatcher
        count = len(sequences)
        if count > self._max_sequences:
            raise BadRequest(
                f"The request asks for {count} sequences, and this server takes "
                f"at most {self._max_sequences} at a time."
            )
        if self._open() + count > self._max_sequences:
            raise Overloaded(
                f"This server has its {self._max_sequences} sequences under way. Try again later."
            )
        stream = Stream(count, buffer_limit)
        tickets = dispatcher.admit(sequences, terms, stream)
        try:
            yield stream
        finally:
            dispatcher.release(tickets)

    def _open(self) -> int:
        """Sequences that wait or are under way; one that a client has not read yet is neither."""
        return sum(pool.dispatcher.open for pool in self.pools.values())

    async def close(self) -> None:
        """Disconnect from every engine."""
        while self._stop_watching:
            self._stop_watching.pop()()
        await asyncio.gather(*(pool.close() for pool in self.pools.values()))


def _updater(loop: asyncio.AbstractEventLoop, pool: EnginePool) -> directory.Listener:
    def update(replicas: list[Replica]) -> None:
        loop.call_soon_threadsafe(pool.update, replicas)

    return update
