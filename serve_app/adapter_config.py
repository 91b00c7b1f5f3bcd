"""The adapters of a model in the configuration: LoRA weights that are served by names of their own.

models:
  - name: my-model
    source: /models/my-model
    adapters:
      - name: my-model-law
        source: /adapters/law      # a directory in PEFT's layout, or a hub id
    adapter_dirs: [/adapters]      # where /v1/load_lora_adapter may load from
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from deployments import adapter_files
from deployments.adapters import new_adapter
from deployments.messages import Adapter
from serve_app.section import Section

ModelName = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\s]+$")]

_RANKS = (16, 32, 64, 128, 256, 320, 512)
"""Those that vLLM can be set to, from its default up."""
_AT_ONCE, _KEPT = 4, 16
"""How many adapters one step computes with, and how many an engine keeps, if nobody says."""


class AdapterConfig(Section):
    """One adapter."""

    name: ModelName
    """What clients ask for."""
    source: Annotated[str, Field(min_length=1)]
    """A directory with its files, or a hub id."""

    @field_validator("source")
    @classmethod
    def _source_is_there(cls, source: str) -> str:
        is_hub_id = source[0] not in "/.~" and not Path(source).is_dir()
        return source if is_hub_id else existing(source)

    @property
    def adapter(self) -> Adapter:
        """What it is to routers and engines: the same to all of them."""
        return new_adapter(self.name, self.source)


def existing(directory: str) -> str:
    """The directory's own path, for any process of the cluster; raises ValueError."""
    folder = Path(directory).expanduser()
    if not folder.is_dir():
        raise ValueError(f"there is no directory {directory}")
    return str(folder.resolve())


def engine_args(adapters: Sequence[AdapterConfig], given: Mapping[str, Any]) -> dict[str, Any]:
    """vLLM's engine arguments for these adapters and for some more, where none are given.

    Raises ValueError for adapters that cannot be served with what is given.
    """
    if given.get("runner") == "pooling":
        raise ValueError("adapters are for models that generate text, and this one pools")
    if given.get("enable_lora") is False:
        raise ValueError("engine_args.enable_lora must not be false beside them")
    for name in ("max_lora_rank", "max_loras"):
        if name in given and (type(given[name]) is not int or given[name] < 1):
            raise ValueError(f"engine_args.{name} must be a whole number from 1 up")
    ranks = {adapter.name: _rank(adapter) for adapter in adapters}
    largest = max(ranks.values(), default=0)
    limit = given.get("max_lora_rank", next((r for r in _RANKS if r >= largest), _RANKS[-1]))
    for name, rank in ranks.items():
        if rank > limit:
            raise ValueError(f"{name} has rank {rank}, and engine_args.max_lora_rank is {limit}")
    at_once = given.get("max_loras", _AT_ONCE)
    chosen = {
        "enable_lora": True,
        "max_lora_rank": limit,
        "max_loras": at_once,
        "max_cpu_loras": max(at_once, _KEPT),
    }
    return chosen | dict(given)


def _rank(adapter: AdapterConfig) -> int:
    """Its rank; 0 for one whose files are not there yet."""
    folder = Path(adapter.source)
    if not folder.is_dir():
        return 0
    try:
        return adapter_files.rank(folder)
    except adapter_files.AdapterError as exc:
        raise ValueError(str(exc)) from exc
