"""Lets ray.serve.llm take the simulated executor. Written against Ray 2.60.

On a CPU it replaces `distributed_executor_backend` by "mp" without a word, and then computes for
real. Its own hook into an engine replica's start undoes that:

    LLMConfig(..., callback_config={"callback_class": "bench.simulated.rayllm.KeepExecutor"})
"""

from typing import Any

from ray.llm._internal.common.callbacks.base import CallbackBase
from ray.llm._internal.serve.engines.vllm.vllm_models import VLLMEngineConfig

_ARG = "distributed_executor_backend"


class KeepExecutor(CallbackBase):  # type: ignore[misc]
    """Keeps the executor that `engine_kwargs` names."""

    async def on_before_node_init(self) -> None:
        executor = self.llm_config.engine_kwargs[_ARG]
        replaced = VLLMEngineConfig.get_initialization_kwargs

        def kept(config: VLLMEngineConfig) -> dict[str, Any]:
            return {**replaced(config), _ARG: executor}

        VLLMEngineConfig.get_initialization_kwargs = kept
