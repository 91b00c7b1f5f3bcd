"""Inputs that are pooled: what vLLM gets of them, and what comes of them.

With the other modules named vllm_*, all that touches vLLM; written against 0.32.0.
"""

from collections.abc import Hashable

from vllm.pooling_params import PoolingParams
from vllm.v1.engine import EngineCoreOutput, FinishReason

from deployments.messages import Delta, Pooling

_SECOND_TEXT_AT = "compressed_token_type_ids"
"""The key in `PoolingParams.extra_kwargs`: of 0, 0, ..., 1, 1 it is where the ones begin."""


def pooling_params(pooling: Pooling) -> PoolingParams:
    """The same for vLLM."""
    params = PoolingParams(
        task=pooling.task,
        dimensions=pooling.dimensions,
        use_activation=pooling.use_activation,
    )
    if pooling.second_text_at is not None:
        params.extra_kwargs = {_SECOND_TEXT_AT: pooling.second_text_at}
    return params


class Pooled:
    """What is needed of an input between its submission and its vector."""

    __slots__ = ("id", "owner", "request_id")

    def __init__(self, owner: Hashable, sequence_id: int, request_id: str) -> None:
        self.owner = owner
        self.id = sequence_id
        self.request_id = request_id

    def advance(self, output: EngineCoreOutput) -> Delta:
        """The one delta that comes of it."""
        tensor = output.pooling_output
        if tensor is None or output.finish_reason == FinishReason.ABORT:
            return Delta(self.id, "", [], str(FinishReason.ERROR))
        vector = tensor.float().numpy().astype("<f4", copy=False).tobytes()
        delta = Delta(self.id, "", [], str(output.finish_reason), vector=vector)
        if output.prefill_stats is not None:
            delta.num_cached_tokens = output.prefill_stats.num_cached_tokens
        return delta
