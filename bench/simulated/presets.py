"""GPUs and models by name.

GPU bandwidth, matrix rate and link come from NVIDIA's data sheets: "H200 Tensor Core GPU" (SXM),
"H100 Tensor Core GPU" (SXM), "A100 80GB Tensor Core GPU" (SXM), "L4 Tensor Core GPU". Matrix rates
are BF16 without sparsity: where a sheet gives the rate with sparsity, half of it. Links are one
direction: half of what a sheet calls NVLink's bandwidth; PCIe 4.0 x16 for the L4. Memory is the
total that `nvidia-smi` shows, which the sheets round.

Models: each one's `config.json` on the Hugging Face hub.
"""

from collections.abc import Mapping
from dataclasses import dataclass

BYTES_PER_VALUE = 2
"""Weights, activations and KV cache are bfloat16."""

_MIB = 2**20
_TERA = 1e12


@dataclass(frozen=True)
class Gpu:
    """What of a GPU bounds a step."""

    memory_bytes: int
    bytes_per_s: float
    """Memory bandwidth."""
    flop_per_s: float
    """Dense BF16 matrix rate."""
    link_bytes_per_s: float
    """To the other GPUs of the machine, one direction."""


@dataclass(frozen=True)
class Model:
    """A decoder with grouped-query attention and a gated MLP, in the names of its config.json."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    tie_word_embeddings: bool = False

    @property
    def layer_parameters(self) -> int:
        """Of all layers together: q and o, k and v, and the MLP's three; norms and biases are
        under 0.1 % and left out."""
        queries = 2 * self.num_attention_heads * self.head_dim
        keys_and_values = 2 * self.num_key_value_heads * self.head_dim
        per_hidden = queries + keys_and_values + 3 * self.intermediate_size
        return self.num_hidden_layers * self.hidden_size * per_hidden

    @property
    def head_parameters(self) -> int:
        """Of the output matrix."""
        return self.vocab_size * self.hidden_size

    @property
    def parameters(self) -> int:
        """All that memory holds."""
        embeddings = 1 if self.tie_word_embeddings else 2
        return self.layer_parameters + embeddings * self.head_parameters


GPUS: Mapping[str, Gpu] = {
    "h200": Gpu(143_771 * _MIB, 4.8 * _TERA, 989.5 * _TERA, 450e9),
    "h100": Gpu(81_559 * _MIB, 3.35 * _TERA, 989.5 * _TERA, 450e9),
    "a100": Gpu(81_920 * _MIB, 2.039 * _TERA, 312 * _TERA, 300e9),
    "l4": Gpu(23_034 * _MIB, 0.3 * _TERA, 121 * _TERA, 32e9),
}

MODELS: Mapping[str, Model] = {
    "llama-3.1-8b": Model(4096, 14336, 32, 32, 8, 128, 128_256),
    "llama-3.1-70b": Model(8192, 28672, 80, 64, 8, 128, 128_256),
    "llama-3.2-1b": Model(2048, 8192, 16, 32, 8, 64, 128_256, tie_word_embeddings=True),
    "qwen2.5-0.5b": Model(896, 4864, 24, 14, 2, 64, 151_936, tie_word_embeddings=True),
    "qwen2.5-7b": Model(3584, 18944, 28, 28, 4, 128, 152_064),
}
