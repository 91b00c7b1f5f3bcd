"""Which adapters are served: those of the configuration, and those that have been loaded since.

An adapter is a model of its own name on the engines of its base model. Every sequence carries its
adapter, and engines load what they lack: they need to be told of none. Routers have to agree on the
names, so what has been loaded is kept in one store for all of them (`adapter_store`), which each
reads again and again: to hear of what was unloaded, and before it says that there is no such model.
"""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import msgspec

from deployments.errors import BadRequest, ModelNotFound, Overloaded
from deployments.messages import Adapter

logger = logging.getLogger(__name__)

READ_S = 1.0
"""For so long, at the most, a router may serve what another has unloaded."""
_ANSWER_S = 5.0
"""How long the store may take to answer."""
_MAX_ID = 2**63 - 1

T = TypeVar("T")


class Served(msgspec.Struct, frozen=True):
    """What a name stands for: a model as it is, or an adapter on top of it."""

    base: str
    """The model whose engines serve it."""
    adapter: Adapter | None = None
    created: int | None = None
    """When it was loaded, in Unix seconds; None: with the server."""


def new_adapter(name: str, path: str, generation: str = "") -> Adapter:
    """An adapter with the id that these three make."""
    content = msgspec.json.encode([name, path, generation])
    number = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")
    return Adapter(1 + number % _MAX_ID, name, path)


class Store(Protocol):
    """Keeps adapters for all routers, by name. Every call blocks and may raise anything."""

    def read(self) -> list[bytes]:
        """All that it has."""

    def put(self, name: str, value: bytes, *, replace: bool) -> bool:
        """Keep `value`; False, without doing so, where there is one and it may not be replaced."""

    def remove(self, name: str) -> bool:
        """Forget it; False where there is none."""


class Adapters:
    """The adapters by name, as one router knows them. Lives on its event loop.

    `allows` says whether what the store has may be served: another configuration may have been in
    force when it was loaded. Without a store there are those of the configuration only.
    """

    def __init__(
        self,
        configured: Iterable[Served] = (),
        store: Store | None = None,
        allows: Callable[[Served], bool] = lambda _: True,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._configured = _by_name(configured)
        self._loaded: dict[str, Served] = {}
        self._store = store
        self._allows = allows
        self._now = now
        self._reading = asyncio.Lock()
        self._read_at = self._failed_at = float("-inf")
        # One thread of its own: a store that hangs holds up nothing else.
        self._thread = ThreadPoolExecutor(1, "adapters")
        self._task = None if store is None else asyncio.create_task(self._keep_reading())

    def get(self, name: str) -> Served | None:
        """The adapter of that name, as far as this router knows."""
        return self._configured.get(name) or self._loaded.get(name)

    @property
    def names(self) -> list[str]:
        """Of all of them."""
        return list(self._configured | self._loaded)

    async def refresh(self) -> None:
        """Learn of everything that has been loaded or unloaded until now. Raises Overloaded."""
        asked_at = self._now()
        async with self._reading:
            if self._store is None or self._read_at > asked_at:  # somebody has, since we asked
                return
            if self._failed_at > asked_at:  # one after the other, the last would wait for ages
                raise _no_answer()
            read_at = self._now()
            try:
                found = [_decoded(value) for value in await self._ask(self._store.read)]
            except Overloaded:
                self._failed_at = self._now()
                raise
            self._loaded = _by_name(served for served in found if served and self._allows(served))
            self._read_at = read_at

    async def add(self, served: Served, *, replace: bool) -> None:
        """Serve an adapter from now on, everywhere. Raises BadRequest or Overloaded."""
        assert self._store is not None
        assert served.adapter is not None
        name, store, value = served.adapter.name, self._store, msgspec.json.encode(served)
        self.check_new(name, replace=replace)
        if not await self._ask(lambda: store.put(name, value, replace=replace)):
            raise _exists(name)
        await self._refresh_if_possible()

    def check_new(self, name: str, *, replace: bool) -> None:
        """Raises BadRequest where a name is taken, as far as this router knows."""
        if name in self._configured:
            raise _is_configured(name)
        if name in self._loaded and not replace:
            raise _exists(name)

    async def remove(self, name: str) -> None:
        """Serve it no more; what is under way is finished. Raises BadRequest or ModelNotFound."""
        if name in self._configured:
            raise _is_configured(name)
        store = self._store
        if store is None or not await self._ask(lambda: store.remove(name)):
            raise ModelNotFound(f"The adapter '{name}' does not exist.", param="lora_name")
        await self._refresh_if_possible()

    async def close(self) -> None:
        """Read no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _refresh_if_possible(self) -> None:
        """After a change, which has been made even if the store does not answer any more."""
        with contextlib.suppress(Overloaded):
            await self.refresh()

    async def _ask(self, work: Callable[[], T]) -> T:
        answer = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await asyncio.wait_for(answer, _ANSWER_S)
        except Exception as exc:  # the store is Ray's, which has no one error for it
            raise _no_answer() from exc

    async def _keep_reading(self) -> None:
        answers = True
        while True:
            await asyncio.sleep(READ_S)
            try:
                await self.refresh()
                answers = True
            except Overloaded as exc:
                if answers:  # once is enough
                    logger.warning("The store of adapters does not answer: %r", exc.__cause__)
                answers = False


def _by_name(found: Iterable[Served]) -> dict[str, Served]:
    return {served.adapter.name: served for served in found if served.adapter is not None}


def _decoded(value: bytes) -> Served | None:
    try:
        return msgspec.json.decode(value, type=Served)
    except msgspec.DecodeError:  # of another version of ours
        logger.warning("The store of adapters has %r, which is none.", value)
        return None


def _no_answer() -> Overloaded:
    return Overloaded(
        "The server cannot tell at the moment which adapters it has. Try again later."
    )


def _exists(name: str) -> BadRequest:
    return BadRequest(
        f"The adapter '{name}' has been loaded already. To load another in its place, set "
        "'load_inplace' to true.",
        param="lora_name",
    )


def _is_configured(name: str) -> BadRequest:
    return BadRequest(
        f"The adapter '{name}' stands in the server's configuration, which alone can change it.",
        param="lora_name",
    )
