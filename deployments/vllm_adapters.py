"""The adapters of an engine: it has those that its sequences need, before they begin.

With the other modules named vllm_*, all that touches vLLM; written against 0.32.0.

vLLM loads an adapter that it lacks in the middle of a step, and its engine core dies if that fails.
So it is given each adapter by a call of its own, whose failure is an answer, and is told to drop
one only when no sequence needs it: what comes up in a step has always been loaded.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vllm.config import VllmConfig
from vllm.lora.request import LoRARequest
from vllm.lora.utils import get_adapter_absolute_path
from vllm.v1.engine.exceptions import EngineDeadError

from deployments import adapter_files
from deployments.errors import BadRequest
from deployments.messages import Adapter

_CALL_FAILED = "Call to add_lora method failed: "


class Core(Protocol):
    """What is needed of vLLM's `AsyncLLM`."""

    async def add_lora(self, lora_request: LoRARequest) -> bool: ...
    async def remove_lora(self, lora_id: int) -> bool: ...


@dataclass
class _Loaded:
    request: LoRARequest
    sequences: set[str] = field(default_factory=set)
    """Those that need it."""


class LoadedAdapters:
    """Which adapters the engine core has, and which sequences need them.

    There may be `capacity` of them. A sequence that needs one more waits until one is of no use,
    and those that come later wait behind it: nobody waits for ever. For what is there already
    nobody waits behind a load. `model` is the directory of the base model, where it has one.
    """

    def __init__(self, core: Core, capacity: int, model: Path | None) -> None:
        self._core = core
        self.capacity = capacity
        """How many the engine core may have; 0 where it takes none."""
        self._model = model
        self._loaded: OrderedDict[int, _Loaded] = OrderedDict()
        """By the adapter's id, the least recently used first."""
        self._held: dict[str, _Loaded] = {}
        """By sequence."""
        self._waiting: dict[str, asyncio.Task[Any] | None] = {}
        """Who waits for a turn, or in its turn for room, by sequence."""
        self._turn = asyncio.Lock()
        self._wants_room = False
        """Whether somebody waits for room."""
        self._released = asyncio.Event()

    @classmethod
    def of(cls, core: Core, config: VllmConfig) -> "LoadedAdapters":
        """Of an engine of that configuration, which may have none."""
        model, lora = Path(config.model_config.model), config.lora_config
        capacity = 0 if lora is None else lora.max_cpu_loras
        return cls(core, capacity, model if model.is_dir() else None)

    async def load(self, adapters: Iterable[Adapter]) -> None:
        """See that these can be used. Raises BadRequest."""
        for adapter in adapters:
            await self.hold("", adapter)
            self.release("")

    async def hold(self, sequence: str, adapter: Adapter) -> LoRARequest:
        """Have an adapter for a sequence, until it is released. Raises BadRequest.

        One that is released while it waits is cancelled.
        """
        if not self.capacity:
            raise BadRequest("This model takes no adapters.", param="model")
        loaded = self._loaded.get(adapter.id)
        if loaded is None or self._wants_room:
            loaded = await self._in_turn(sequence, adapter)
        self._loaded.move_to_end(adapter.id)
        loaded.sequences.add(sequence)
        self._held[sequence] = loaded
        return loaded.request

    def release(self, sequence: str) -> None:
        """A sequence has ended; one that neither has an adapter nor waits is passed over."""
        if (task := self._waiting.get(sequence)) is not None:
            task.cancel()
        loaded = self._held.pop(sequence, None)
        if loaded is not None:
            loaded.sequences.discard(sequence)
            self._released.set()

    async def _in_turn(self, sequence: str, adapter: Adapter) -> _Loaded:
        await self._wait(sequence, self._turn.acquire())
        try:
            loaded = self._loaded.get(adapter.id)
            if loaded is None:
                await self._make_room(sequence)
                loaded = self._loaded[adapter.id] = _Loaded(await self._load(adapter))
        finally:
            self._turn.release()
        return loaded

    async def _make_room(self, sequence: str) -> None:
        if len(self._loaded) < self.capacity:
            return
        self._wants_room = True
        try:
            while (idle := self._idle()) is None:
                self._released.clear()
                await self._wait(sequence, self._released.wait())
        finally:
            self._wants_room = False
        del self._loaded[idle]  # first, so that nobody counts on it any more
        await self._core.remove_lora(idle)

    def _idle(self) -> int | None:
        return next((i for i, loaded in self._loaded.items() if not loaded.sequences), None)

    async def _wait(self, sequence: str, something: Coroutine[Any, Any, object]) -> None:
        """Only here may a sequence be cancelled: what the engine core is told must be known."""
        self._waiting[sequence] = asyncio.current_task()
        try:
            await something
        finally:
            del self._waiting[sequence]

    async def _load(self, adapter: Adapter) -> LoRARequest:
        try:
            path = await asyncio.to_thread(_checked_path, adapter, self._model)
        except Exception as exc:  # a hub has errors of many kinds
            raise _useless(adapter, exc) from exc
        # vLLM tells cached prefixes by name and path, and they must not outlive these very weights.
        request = LoRARequest(f"{adapter.name} {adapter.id}", adapter.id, path)
        try:
            await self._core.add_lora(request)
        except EngineDeadError:
            raise
        except Exception as exc:  # of the engine core's own error there is no more than the words
            await self._core.remove_lora(adapter.id)  # a part of it may be there
            raise _useless(adapter, exc) from exc
        return request


def _checked_path(adapter: Adapter, model: Path | None) -> str:
    path: str = get_adapter_absolute_path(adapter.path)  # downloads what a hub id names
    adapter_files.check(Path(path), model)
    return path


def _useless(adapter: Adapter, exc: Exception) -> BadRequest:
    reason = " ".join(str(exc).removeprefix(_CALL_FAILED).split())
    return BadRequest(f"The adapter '{adapter.name}' could not be loaded: {reason}", param="model")
