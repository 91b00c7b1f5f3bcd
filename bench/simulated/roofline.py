"""How long a step takes on a GPU, and how much KV cache fits beside the weights. Pure arithmetic.

The model is the roofline of Williams, Waterman and Patterson (2009): a step takes as long as the
slower of moving its bytes and doing its arithmetic, each at an attainable share of the data sheet's
rate, plus what overlaps with neither.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench.simulated.presets import BYTES_PER_VALUE, Gpu, Model

Counts = NDArray[np.int64]

MEMORY_SHARE = 0.8
MATRIX_SHARE = 0.6
"""Attainable shares of the data sheet's rates. Assumed, not measured: in line with what streaming
reads and large BF16 products reach on these GPUs (FlashAttention-3's authors report up to 75 % for
attention, the Llama 3 report 38-43 % for whole training steps)."""
OVERHEAD_S = 0.5e-3
"""Of a step: gaps between kernels, sampling, copies. Assumed: a microsecond or two for each of the
some 300 kernels of a 32-layer model in a CUDA graph."""
ALL_REDUCE_S = 10e-6
"""Latency of one all-reduce over GPUs of one machine. Assumed."""
WORKSPACE_BYTES = 3 * 2**30
"""Of each GPU, for activations, CUDA graphs and the CUDA context. Assumed: vLLM's start-up log
names 1 to 3 GiB for models of these sizes."""


@dataclass(frozen=True)
class Roofline:
    """A model served by `tensor_parallel_size` equal GPUs, each doing its share of every step."""

    gpu: Gpu
    model: Model
    tensor_parallel_size: int = 1

    def step_s(self, computed: Counts, scheduled: Counts) -> float:
        """Seconds of one step.

        Sequence i has `computed[i]` tokens in the KV cache and `scheduled[i]` new ones go in.
        """
        tokens = int(scheduled.sum())
        compute = self._flop(computed, scheduled) / (MATRIX_SHARE * self.gpu.flop_per_s)
        memory = self._bytes(computed, scheduled) / (MEMORY_SHARE * self.gpu.bytes_per_s)
        return max(memory, compute) + self._all_reduce_s(tokens) + OVERHEAD_S

    @cached_property
    def kv_heads(self) -> int:
        """KV heads on each GPU; beyond one GPU for each head they are copies."""
        return -(-self.model.num_key_value_heads // self.tensor_parallel_size)

    @cached_property
    def kv_bytes_per_token(self) -> int:
        """On each GPU: a key and a value of each of its KV heads in each layer."""
        model = self.model
        return 2 * model.num_hidden_layers * self.kv_heads * model.head_dim * BYTES_PER_VALUE

    def kv_cache_bytes(self, memory_utilization: float) -> int:
        """What is left of each GPU for the KV cache; negative when the weights do not fit."""
        weights = self.model.parameters * BYTES_PER_VALUE // self.tensor_parallel_size
        return int(self.gpu.memory_bytes * memory_utilization) - weights - WORKSPACE_BYTES

    @cached_property
    def _weight_bytes(self) -> float:
        """Read in each step, on each GPU: everything but the input embedding, a look-up."""
        read = self.model.layer_parameters + self.model.head_parameters
        return read * BYTES_PER_VALUE / self.tensor_parallel_size

    def _bytes(self, computed: Counts, scheduled: Counts) -> float:
        """The weights once, and each sequence's KV up to its newest token once."""
        context = int(computed.sum() + scheduled.sum())
        return self._weight_bytes + self.kv_bytes_per_token * context

    def _flop(self, computed: Counts, scheduled: Counts) -> float:
        """A multiplication and an addition for each parameter and token (2 x parameters x tokens,
        with logits only for each sequence's last token), and attention's 4 x layers x query width x
        (token, attended token) pairs: QK' and PV, as counted in PaLM's appendix B."""
        model = self.model
        # A chunk of n tokens over c cached ones attends to (c + 1) + ... + (c + n).
        pairs = int((scheduled * (2 * computed + scheduled + 1)).sum()) / 2
        query_width = model.num_attention_heads * model.head_dim
        linear = model.layer_parameters * int(scheduled.sum())
        logits = model.head_parameters * len(scheduled)
        attention = 2 * model.num_hidden_layers * query_width * pairs
        return 2 * (linear + logits + attention) / self.tensor_parallel_size

    def _all_reduce_s(self, tokens: int) -> float:
        """Two all-reduces of the hidden states in each layer (Megatron-LM), each a ring: every GPU
        sends 2 (n - 1) / n of them (Patarasuk and Yuan, 2009)."""
        n = self.tensor_parallel_size
        if n == 1:
            return 0.0
        sent = 2 * (n - 1) / n * tokens * self.model.hidden_size * BYTES_PER_VALUE
        each = ALL_REDUCE_S + sent / self.gpu.link_bytes_per_s
        return 2 * self.model.num_hidden_layers * each
