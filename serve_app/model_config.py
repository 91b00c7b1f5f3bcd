"""One entry of `models:` in the configuration: what is served, by which engines.

models:
  - name: my-model            # the name clients ask for
    source: /models/my-model  # a directory, a hub id, or embedded:sluice-chat
    num_replicas: 2
    engine_args: {max_model_len: 4096}   # vLLM's own names
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)

from deployments import default_model, engine_args
from serve_app import adapter_config
from serve_app.adapter_config import AdapterConfig, ModelName
from serve_app.chat_config import ChatConfig
from serve_app.scaling_config import ScalingConfig
from serve_app.section import Percent


class ModelConfig(ChatConfig):
    """One served model: its engine replicas and what they run."""

    name: ModelName
    source: Annotated[str, Field(min_length=1)]
    """A directory, a hub id, or `embedded:` and the name of a model that comes with Sluice."""
    revision: str | None = None
    """Branch, tag or commit, for a hub id."""
    engine_args: dict[str, Any] = Field(default_factory=dict)
    """vLLM's engine arguments, by their own names."""
    num_replicas: PositiveInt = 1
    autoscaling: ScalingConfig | None = None
    """How many there are by the load, instead of `num_replicas`; see scaling_config.py."""
    num_cpus: NonNegativeFloat = 1
    """Logical CPUs that Ray reserves for each replica."""
    num_gpus: NonNegativeFloat | None = None
    """GPUs for each replica; default: tensor_parallel_size x pipeline_parallel_size, 0 on CPU."""
    resources: dict[str, PositiveFloat] = Field(default_factory=dict)
    """What else Ray reserves for each of its devices, by Ray's names: `accelerator_type:L4: 0.001`
    keeps a model to nodes with that kind of GPU."""
    cpu_threads: PositiveInt | None = None
    """OpenMP threads of a CPU engine; default: this machine's cores shared by its engines, but one
    for a model of a few megabytes."""
    drain_timeout_s: NonNegativeFloat = 60
    """How long a replica that is stopped may finish what it has."""
    max_surge_percent: Percent = 20
    """So many more replicas, one at least, there may be during an update: a new one is ready before
    an old one stops. 0 stops the old one first, where no more GPUs are to be had."""
    stall_timeout_s: PositiveFloat = 8
    """How late an engine's answer may be before its replica is unready and Serve replaces it; one
    engine step, such as a long prefill on a CPU, must fit."""
    adapters: list[AdapterConfig] = Field(default_factory=list)
    """LoRA weights on top of this model's, each served as a model of its own name."""
    adapter_dirs: list[str] = Field(default_factory=list)
    """Below these, and nowhere else, /v1/load_lora_adapter may load adapters for this model from;
    default: it may not."""

    @property
    def names(self) -> list[str]:
        """What clients may ask for: the model as it is, and its adapters."""
        return [self.name, *(adapter.name for adapter in self.adapters)]

    @property
    def most_replicas(self) -> int:
        """How many there may be."""
        return self.num_replicas if self.autoscaling is None else self.autoscaling.max_replicas

    @property
    def may_sleep(self) -> bool:
        """Whether there may be none."""
        return self.autoscaling is not None and self.autoscaling.min_replicas == 0

    @property
    def gpus(self) -> float:
        """How many each replica reserves."""
        if self.num_gpus is not None:
            return self.num_gpus
        return 0 if engine_args.is_cpu_build() else engine_args.world_size(self.engine_args)

    @property
    def takes_adapters(self) -> bool:
        """Whether it has some, or may get some."""
        return bool(self.adapters or self.adapter_dirs)

    @field_validator("source")
    @classmethod
    def _source_is_there(cls, source: str) -> str:
        name = source.removeprefix(default_model.PREFIX)
        if name != source and name not in default_model.NAMES:
            raise ValueError(f"embedded models are {', '.join(default_model.NAMES)}")
        if source[0] in "/.~" and not Path(source).expanduser().is_dir():
            raise ValueError(f"there is no directory {source}")
        return source

    @field_validator("engine_args")
    @classmethod
    def _engine_args_are_known(cls, args: dict[str, Any]) -> dict[str, Any]:
        known = engine_args.known()
        for name in args:
            if name in _OURS:
                raise ValueError(f"{name} is set by this model's {_OURS[name]}")
            if name in engine_args.RESUMING:
                raise ValueError(f"{name} is Sluice's own: streams move between engines by it")
            if name in engine_args.ORDER:
                raise ValueError(f"{name} is Sluice's own: who holds few goes ahead by it")
            if name in _VLLMS_TRACING:
                raise ValueError(f"{name} is vLLM's own; Sluice has traces by OTEL_* variables")
            if known and name not in known:
                raise ValueError(f"vLLM has no engine argument {name}")
        engine_args.structured_outputs_config(args)
        for name in _PARALLEL_SIZES:
            size = args.get(name, 1)
            if type(size) is not int or size < 1:
                raise ValueError(f"{name} must be a whole number from 1 up, not {size!r}")
        return args

    @field_validator("autoscaling")
    @classmethod
    def _number_is_given_once(
        cls, scaling: ScalingConfig | None, info: ValidationInfo
    ) -> ScalingConfig | None:
        if scaling is not None and info.data.get("num_replicas", 1) != 1:
            raise ValueError("num_replicas is for a model that does not scale; leave one of them")
        return scaling

    @field_validator("adapter_dirs")
    @classmethod
    def _adapter_dirs_are_there(cls, directories: list[str]) -> list[str]:
        return [adapter_config.existing(directory) for directory in directories]

    @field_validator("adapters", "adapter_dirs")
    @classmethod
    def _adapters_can_be_served(cls, given: list[Any], info: ValidationInfo) -> list[Any]:
        if given:
            adapters = given if info.field_name == "adapters" else ()
            adapter_config.engine_args(adapters, info.data.get("engine_args", {}))
        return given


_OURS = {
    "model": "source",
    "tokenizer": "source",
    "revision": "revision",
    "tokenizer_revision": "revision",
    "served_model_name": "name",
    "reasoning_parser": "reasoning_parser",
    "data_parallel_size": "num_replicas",
}
"""vLLM's engine arguments that would contradict a key of ours, and that key."""
_VLLMS_TRACING = ("otlp_traces_endpoint", "collect_detailed_traces")
_PARALLEL_SIZES = ("tensor_parallel_size", "pipeline_parallel_size")
