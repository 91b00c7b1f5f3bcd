"""What the workers of an engine need to go on with what another engine began.

With the other modules named vllm_*, all that touches vLLM; written against 0.32.0's older model
runner (gpu_model_runner.py, on GPU and CPU). The newer one, which GPUs with Triton have, is given
all tokens of a new request by the scheduler and draws random numbers by position: it needs nothing.
"""

import torch
from vllm.v1.worker.gpu_input_batch import CachedRequestState

from deployments.vllm_resume import emitted_token_ids

_SEEDS = 2**31
"""From how many numbers vLLM's CPU sampler draws one for each token."""
_OFFSET_PER_DRAW = 4
"""How far one token moves a CUDA generator, as the model runner itself has it when it takes the
draw of an unfinished prompt back: one kernel of four random numbers a thread."""


class ResumingWorker:
    """Named as `worker_extension_cls`, so that every worker process imports this module."""

    def start_s(self) -> dict[str, float]:
        """How long stages of its start took, of a worker that minds it (deployments.vllm_cpu)."""
        return getattr(self, "stage_s", {})


class _CpuDraws(torch.Generator):  # type: ignore[misc]
    """The random numbers of one seeded sequence on a CPU, of which every token takes one.

    vLLM samples an unfinished prompt too, and takes that draw back through the generator's offset,
    which a CPU's generator does not have: a seeded request whose prompt is computed in pieces would
    end the engine. Here taking back means: to where the tokens are.
    """

    def follow(self, seed: int, output_token_ids: list[int]) -> None:
        """Begin behind the last of `output_token_ids`, which the model runner goes on to fill."""
        self._seed, self._output_token_ids = seed, output_token_ids
        self.set_offset(0)

    def get_offset(self) -> int:
        return 0

    def set_offset(self, offset: int) -> None:
        self.manual_seed(self._seed)
        if count := len(self._output_token_ids):
            torch.randint(_SEEDS, (count,), generator=self, dtype=torch.long)


_post_init = CachedRequestState.__post_init__


def _resume(state: CachedRequestState) -> None:
    """Let a request that is new to the model runner have its emitted tokens from the start."""
    _post_init(state)
    state.output_token_ids.extend(emitted_token_ids(state.sampling_params))
    generator = state.generator
    if generator is None:
        return
    if generator.device.type == "cpu":
        state.generator = _CpuDraws()
        state.generator.follow(state.sampling_params.seed, state.output_token_ids)
    elif generator.device.type == "cuda":
        generator.set_offset(_OFFSET_PER_DRAW * len(state.output_token_ids))


CachedRequestState.__post_init__ = _resume
