"""The router: takes requests in, streams their deltas, frees what is left.

One lives in each router replica, on its event loop. It knows no HTTP.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from deployments import directory
from deployments.adapters import Adapters, Served
from deployments.directory import Replica
from deployments.dispatcher import Rules
from deployments.errors import BadRequest, ModelNotFound, Overloaded, SluiceError
from deployments.messages import Adapter, Pooling, Sampling
from deployments.metering.inter_token import Gaps
from deployments.pool import EnginePool
from deployments.scheduling.terms import Terms
from deployments.stream import Stream
from deployments.ticket import Ticket
from deployments.tracing.context import Trace

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
        sleepers: Collection[str] = (),
        adapters: Adapters | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`sleepers`: the models that may have no engine until somebody asks."""
        self._max_sequences = max_sequences
        self.now = now
        """Its clock, in seconds."""
        self.adapters = adapters or Adapters()
        identity = uuid.uuid4().hex
        rules = rules or Rules()
        self.pools = {
            name: EnginePool(identity, replace(rules, may_sleep=name in sleepers), now)
            for name in engines
        }
        loop = asyncio.get_running_loop()
        self._stop_watching = [
            directory.watch(handle, _updater(loop, self.pools[name]))
            for name, handle in engines.items()
        ]

    @property
    def names(self) -> list[str]:
        """What clients may ask for: every model, and every adapter that this router knows."""
        return [*self.pools, *self.adapters.names]

    async def find(self, model: str) -> Served:
        """What `model` stands for, also if it was loaded this moment. Raises ModelNotFound."""
        if model not in self.pools and self.adapters.get(model) is None:
            await self.adapters.refresh()
        return self.served(model)

    async def reach(self, model: str) -> Served:
        """The same, once it is known what its engines can do: of a model that sleeps, and was never
        heard, it takes as long as a start. Raises EngineUnavailable or Overloaded, too."""
        served = await self.find(model)
        await self.pools[served.base].known()
        return served

    def served(self, model: str) -> Served:
        """What `model` stands for, as far as this router knows. Raises ModelNotFound."""
        served = Served(model) if model in self.pools else self.adapters.get(model)
        if served is None:
            raise ModelNotFound(f"The model '{model}' does not exist.", param="model")
        return served

    def pool(self, model: str) -> EnginePool:
        """The engines of `model`; raises ModelNotFound."""
        return self.pools[self.served(model).base]

    @contextmanager
    def generate(
        self,
        model: str,
        sequences: Sequence[tuple[Prompt, Sampling | Pooling]],
        terms: Terms = _ON_NO_TERMS,
        *,
        buffer_limit: int,
        adapter: Adapter | None = None,
        tickets: list[Ticket] | None = None,
        trace: Trace | None = None,
    ) -> Iterator[Stream]:
        """Take in `sequences` and give the stream of their deltas, by index.

        On leaving, however, whatever is still waiting or under way is freed. `buffer_limit` is in
        characters of text not yet read. `adapter` is one that no name stands for yet. What is known
        of the sequences is added to `tickets`, and `trace` goes with them to engines. Raises
        ModelNotFound, BadRequest, Overloaded or EngineUnavailable.
        """
        served = self.served(model)
        dispatcher = self.pools[served.base].dispatcher
        meter = dispatcher.meter.classes[terms.level]
        gaps = Gaps(dispatcher.meter.inter_token[True].whole_s, len(sequences), self.now)
        stream = Stream(len(sequences), buffer_limit, gaps.shown)
        try:
            self._check_room(len(sequences))
            admitted = dispatcher.admit(sequences, terms, stream, adapter or served.adapter, trace)
        except SluiceError as exc:
            meter.refused[str(exc.code)] += 1
            raise
        meter.admitted += 1
        if tickets is not None:
            tickets += admitted
        try:
            yield stream
        finally:
            dispatcher.release(admitted)

    def _check_room(self, count: int) -> None:
        """Raises BadRequest or Overloaded where so many sequences are too many."""
        if count > self._max_sequences:
            raise BadRequest(
                f"The request asks for {count} sequences, and this server takes "
                f"at most {self._max_sequences} at a time."
            )
        if self._open() + count > self._max_sequences:
            raise Overloaded(
                f"This server has its {self._max_sequences} sequences under way. Try again later."
            )

    def _open(self) -> int:
        """Sequences that wait or are under way; one that a client has not read yet is neither."""
        return sum(pool.dispatcher.open for pool in self.pools.values())

    async def close(self) -> None:
        """Disconnect from every engine."""
        while self._stop_watching:
            self._stop_watching.pop()()
        await asyncio.gather(self.adapters.close(), *(pool.close() for pool in self.pools.values()))


def _updater(loop: asyncio.AbstractEventLoop, pool: EnginePool) -> directory.Listener:
    def update(replicas: list[Replica]) -> None:
        loop.call_soon_threadsafe(pool.update, replicas)

    return update
