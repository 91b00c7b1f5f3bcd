"""The vLLM executor whose device is simulated. Written against vLLM 0.32.0's v1 engine core.

`distributed_executor_backend="bench.simulated.executor.SimulatedExecutor"` puts it in place of
vLLM's own: no worker is started and no weight is read.
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import torch
from vllm.config import VllmConfig
from vllm.logger import init_logger
from vllm.tokenizers import cached_tokenizer_from_config
from vllm.v1.core.sched.output import GrammarOutput, SchedulerOutput
from vllm.v1.executor.abstract import Executor
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheSpec
from vllm.v1.kv_cache_layout import KVCacheLayout
from vllm.v1.outputs import EMPTY_MODEL_RUNNER_OUTPUT, ModelRunnerOutput

from bench.simulated.device import Device
from bench.simulated.sequences import Batch, Sequences
from bench.simulated.settings import KEY, BadSettings, parse
from bench.simulated.vocabulary import Vocabulary

logger = init_logger("vllm.simulated")  # vLLM shows what is logged below its own name

_NOTHING_TO_DO = frozenset({"synchronize_device", "reset_mm_cache", "reset_encoder_cache"})


class _StepResult(Future[ModelRunnerOutput]):
    """What a step yields once the device has run it: `result` sleeps until then."""

    def __init__(self, device: Device, ends_at: float, output: ModelRunnerOutput) -> None:
        super().__init__()
        self._device, self._ends_at = device, ends_at
        self.set_result(output)

    def result(self, timeout: float | None = None) -> ModelRunnerOutput:
        self._device.wait_until(self._ends_at)
        return super().result(timeout)


class SimulatedExecutor(Executor):  # type: ignore[misc]
    """Answers the engine core in place of a GPU worker.

    As a GPU's, `execute_model` only launches a step; `sample_tokens` waits for its end, or gives a
    future that does.
    """

    def _init_executor(self) -> None:
        _refuse_what_is_not_simulated(self.vllm_config)
        settings = parse(self.vllm_config.additional_config)
        self._roofline = settings.roofline
        self._fixed_step_s = settings.fixed_step_s
        # The CPU platform has switched it off. The engine core looks at it after this.
        self.scheduler_config.async_scheduling = settings.async_scheduling
        self._device = Device()
        self._sequences = Sequences(_vocabulary(self.vllm_config))
        self._launched: tuple[Batch, float] | None = None
        logger.warning("Simulated compute: %s", self.vllm_config.additional_config[KEY])

    @classmethod
    def supports_async_scheduling(cls) -> bool:
        return True

    @property
    def supported_tasks(self) -> tuple[str, ...]:
        return ("generate",)

    def determine_available_memory(self) -> list[int]:
        utilization = self.cache_config.gpu_memory_utilization
        left = self._roofline.kv_cache_bytes(utilization)
        if left <= 0:
            raise BadSettings(
                "tensor_parallel_size",
                f"the model does not fit: {-left / 2**30:.1f} GiB are missing on each GPU",
            )
        return [left]

    def get_kv_cache_specs(self) -> list[dict[str, KVCacheSpec]]:
        model = self._roofline.model
        spec = FullAttentionSpec(
            block_size=self.cache_config.block_size,
            num_kv_heads=self._roofline.kv_heads,
            head_size=model.head_dim,
            dtype=torch.bfloat16,
        )
        return [{f"layers.{i}": spec for i in range(model.num_hidden_layers)}]

    def get_supported_kv_cache_layouts(self) -> list[list[str]]:
        return [[KVCacheLayout.LBNHC.name]]

    def set_kv_cache_layout(self, layout_name: str) -> None:
        pass

    def initialize_from_config(self, kv_cache_configs: list[KVCacheConfig]) -> None:
        pass

    def compile_or_warm_up_model(self) -> None:
        pass

    def execute_model(
        self, scheduler_output: SchedulerOutput, non_block: bool = False
    ) -> ModelRunnerOutput | Future[ModelRunnerOutput | None] | None:
        batch = self._sequences.take(scheduler_output)
        output = None
        if batch.ids:
            self._launched = batch, self._device.launch(self._step_s(batch))
        else:
            output = EMPTY_MODEL_RUNNER_OUTPUT
        if not non_block:
            return output
        done: Future[ModelRunnerOutput | None] = Future()
        done.set_result(output)
        return done

    def sample_tokens(
        self, grammar_output: GrammarOutput | None, non_block: bool = False
    ) -> ModelRunnerOutput | Future[ModelRunnerOutput]:
        assert self._launched is not None, "no step has been launched"
        (batch, ends_at), self._launched = self._launched, None
        result = _StepResult(self._device, ends_at, self._sequences.sample(batch, grammar_output))
        return result if non_block else result.result()

    def collective_rpc(
        self,
        method: str | Callable[..., Any],
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        non_block: bool = False,
    ) -> list[Any]:
        """Everything else that vLLM or Sluice may ask of workers."""
        if method == "start_s":
            return [{}]
        if method not in _NOTHING_TO_DO:
            raise NotImplementedError(f"a simulated engine cannot do {method!r}")
        self._device.synchronize()
        return [None]

    def check_health(self) -> None:
        pass

    def shutdown(self) -> None:
        pass

    def _step_s(self, batch: Batch) -> float:
        if self._fixed_step_s is not None:
            return self._fixed_step_s
        return self._roofline.step_s(batch.computed, batch.scheduled)


def _refuse_what_is_not_simulated(config: VllmConfig) -> None:
    model, parallel = config.model_config, config.parallel_config
    given = {
        "speculative_config": config.speculative_config,
        "enable_lora": config.lora_config,
        "kv_transfer_config": config.kv_transfer_config,
        "ec_transfer_config": config.ec_transfer_config,
        "kv_cache_dtype": config.cache_config.cache_dtype not in {"auto", "bfloat16"},
        f"tensor_parallel_size outside of {KEY!r}": parallel.tensor_parallel_size > 1,
        "pipeline_parallel_size": parallel.pipeline_parallel_size > 1,
        "runner": model.runner_type != "generate",
        "enable_prompt_embeds": model.enable_prompt_embeds,
        "skip_tokenizer_init": model.skip_tokenizer_init,
        "model (a multimodal one)": model.is_multimodal_model,
    }
    for name, is_given in given.items():
        if is_given:
            raise BadSettings("", f"{name} cannot be simulated")


def _vocabulary(config: VllmConfig) -> Vocabulary:
    model = config.model_config
    tokenizer = cached_tokenizer_from_config(model)
    ends = [tokenizer.eos_token_id, model.hf_text_config.eos_token_id]
    ends.append(model.try_get_generation_config().get("eos_token_id"))
    flat = {i for end in ends for i in (end if isinstance(end, list) else [end])}
    return Vocabulary(tokenizer, model.get_vocab_size(), flat - {None})
