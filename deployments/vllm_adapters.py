"""The adapters of an engine: it has those that its sequences need, before they begin.

With the other modules named vllm_*, all that touches vLLM; written against 0.32.0.

vLLM loads an adapter that it lacks in the middle of a step, and its engine core dies if that fails.
So it is given each adapter by a call of its own, whose failure is an answer, and is told to drop
one only when no sequence needs it: what comes up in a step has always been loaded.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from vllm.config import VllmConfig
from vllm.lora.request import LoRARequest
from vllm.lora.utils import get_adapter_absolute_path
from vllm.v1.engine.exceptions import EngineDeadError

from deployments import adapter_files
from deployments.adapter_files import AdapterError
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
    and those that come later wait behind it: nobody waits for ever. `model` is the directory of the
    base model, where it has one.
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
        self._turn = asyncio.Lock()
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
        """Have an adapter for a sequence, until it is released. Raises BadRequest."""
        if not self.capacity:
            raise BadRequest("This model takes no adapters.", param="model")
        async with self._turn:
            loaded = self._loaded.get(adapter.id)
            if loaded is None:
                await self._make_room()
                loaded = self._loaded[adapter.id] = _Loaded(await self._load(adapter))
            self._loaded.move_to_end(adapter.id)
            loaded.sequences.add(sequence)
            self._held[sequence] = loaded
        return loaded.request

    def release(self, sequence: str) -> None:
        """A sequence has ended; one that holds nothing is passed over."""
        loaded = self._held.pop(sequence, None)
        if loaded is not None:
            loaded.sequences.discard(sequence)
            self._released.set()

    async def _make_room(self) -> None:
        while len(self._loaded) >= self.capacity:
            idle = next((i for i, loaded in self._loaded.items() if not loaded.sequences), None)
            if idle is None:
                self._released.clear()
                await self._released.wait()
            else:
                await self._core.remove_lora(idle)
                del self._loaded[idle]

    async def _load(self, adapter: Adapter) -> LoRARequest:
        try:
            path = await asyncio.to_thread(_checked_path, adapter, self._model)
        except AdapterError as exc:
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
