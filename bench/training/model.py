"""A Llama in plain PyTorch, small enough to read, whose weights have Hugging Face's names.

There is no attention mask but the causal one: sequences of a batch are padded at their ends, and
what is before the padding never looks at it.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from deployments.llama_layout import NORM_EPS, ROPE_THETA, Shape


class Norm(nn.Module):  # type: ignore[misc]
    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), NORM_EPS)


class Attention(nn.Module):  # type: ignore[misc]
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        hidden, keys = shape.hidden_size, shape.num_key_value_heads * shape.head_dim
        self.q_proj = nn.Linear(hidden, hidden, bias=False)
        self.k_proj = nn.Linear(hidden, keys, bias=False)
        self.v_proj = nn.Linear(hidden, keys, bias=False)
        self.o_proj = nn.Linear(hidden, hidden, bias=False)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        heads, kept = self.shape.num_attention_heads, self.shape.num_key_value_heads
        weights = (self.q_proj.weight, self.k_proj.weight, self.v_proj.weight)
        together = F.linear(x, torch.cat(weights).to(x.dtype))
        split = together.unflatten(-1, (heads + 2 * kept, self.shape.head_dim)).transpose(1, 2)
        turned = _turned(split[:, : heads + kept], turn)
        queries, keys, values = turned[:, :heads], turned[:, heads:], split[:, heads + kept :]
        found = _looked_up(
            queries,
            keys.repeat_interleave(heads // kept, dim=1),
            values.repeat_interleave(heads // kept, dim=1),
        )
        return _times(found.transpose(1, 2).flatten(2), self.o_proj)


class Mlp(nn.Module):  # type: ignore[misc]
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        hidden, inner = shape.hidden_size, shape.intermediate_size
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return _times(F.silu(_times(x, self.gate_proj)) * _times(x, self.up_proj), self.down_proj)


class Layer(nn.Module):  # type: ignore[misc]
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = Norm(shape.hidden_size)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = Norm(shape.hidden_size)
        self.mlp = Mlp(shape)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), turn)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):  # type: ignore[misc]
    """Tokens in, what each position makes of them out; `logits` says which token comes next."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = nn.ModuleDict(
            {
                "embed_tokens": nn.Embedding(shape.vocab_size, shape.hidden_size),
                "layers": nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers)),
                "norm": Norm(shape.hidden_size),
            }
        )
        angles = torch.outer(
            torch.arange(shape.max_position_embeddings),
            ROPE_THETA ** (-torch.arange(0, shape.head_dim, 2) / shape.head_dim),
        ).repeat(1, 2)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        self._draw()

    def _draw(self) -> None:
        deep = (2 * self.shape.num_hidden_layers) ** -0.5
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                gain = deep if name.endswith(("o_proj.weight", "down_proj.weight")) else 1.0
                nn.init.normal_(weight, std=0.02 * gain)

    @property
    def embedding(self) -> Tensor:
        """Of the tokens that come in and of those that go out: they are tied."""
        weight: Tensor = self.model["embed_tokens"].weight
        return weight

    def forward(self, tokens: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        x = F.embedding(tokens, self.embedding).to(dtype)
        length = tokens.shape[1]
        turn = (self.cos[:length].to(dtype), self.sin[:length].to(dtype))
        for layer in self.model["layers"]:
            x = layer(x, turn)
        found: Tensor = self.model["norm"](x)
        return found

    def logits(self, states: Tensor) -> Tensor:
        return F.linear(states, self.embedding.to(states.dtype))

    @property
    def num_parameters(self) -> int:
        return sum(weight.numel() for weight in self.parameters())


def _times(x: Tensor, layer: nn.Linear) -> Tensor:
    """`layer` of `x`, in the precision of `x`."""
    return F.linear(x, layer.weight.to(x.dtype))


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions: each pair of channels (i, i + half) turned by its angle."""
    cos, sin = turn
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def _looked_up(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Causal attention. PyTorch's own takes five times as long on a CPU for rows this short."""
    length = queries.shape[-2]
    later = queries.new_full((length, length), float("-inf")).triu(1)
    scores = queries * queries.shape[-1] ** -0.5 @ keys.transpose(-1, -2) + later
    return scores.softmax(-1) @ values
