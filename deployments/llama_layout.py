"""A small Llama as a directory in Hugging Face's layout: its size, and its JSON files."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

NORM_EPS = 1e-6
ROPE_THETA = 10000.0


@dataclass(frozen=True)
class Shape:
    """The size of a model, in the names of Hugging Face's `LlamaConfig`."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    max_position_embeddings: int = 2048
    vocab_size: int = 2048

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def num_parameters(self) -> int:
        return sum(math.prod(size) for size in self.tensors().values())

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Name and size of every weight, in the order in which they are drawn."""
        hidden, mlp = self.hidden_size, self.intermediate_size
        queries, keys = hidden, self.num_key_value_heads * self.head_dim
        layer: dict[str, tuple[int, ...]] = {
            "input_layernorm": (hidden,),
            "self_attn.q_proj": (queries, hidden),
            "self_attn.k_proj": (keys, hidden),
            "self_attn.v_proj": (keys, hidden),
            "self_attn.o_proj": (hidden, queries),
            "post_attention_layernorm": (hidden,),
            "mlp.gate_proj": (mlp, hidden),
            "mlp.up_proj": (mlp, hidden),
            "mlp.down_proj": (hidden, mlp),
        }
        return {
            "model.embed_tokens.weight": (self.vocab_size, hidden),
            **{
                f"model.layers.{i}.{name}.weight": size
                for i in range(self.num_hidden_layers)
                for name, size in layer.items()
            },
            "model.norm.weight": (hidden,),
            "lm_head.weight": (self.vocab_size, hidden),
        }


def configs(
    shape: Shape,
    special_tokens: Sequence[str],
    chat_template: str,
    *,
    tied: bool = False,
    ends_answers: bool = False,
    **generation: Any,
) -> dict[str, dict[str, Any]]:
    """The content of the JSON files, by file name.

    Of `special_tokens`, whose ids are their places, the first begins a text, the second ends it
    and the last ends a message. `tied`: one matrix for the tokens that come in and those that go
    out. `ends_answers`: its answers end with the last, which the tokenizer then calls the end of a
    text: vLLM tells of any other end as a stop reason. `generation` is how one samples unless asked
    otherwise.
    """
    bos, eos, *_, end = special_tokens
    ending = end if ends_answers else eos
    token_ids = {
        "bos_token_id": special_tokens.index(bos),
        "eos_token_id": [special_tokens.index(eos), special_tokens.index(end)],
    }
    return {
        "config.json": {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "dtype": "bfloat16",
            **asdict(shape),
            "head_dim": shape.head_dim,
            "hidden_act": "silu",
            "rms_norm_eps": NORM_EPS,
            "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_THETA},
            "tie_word_embeddings": tied,
            **token_ids,
        },
        "generation_config.json": {**generation, **token_ids},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": bos,
            "eos_token": ending,
            "extra_special_tokens": [t for t in special_tokens if t not in (bos, ending)],
            "model_max_length": shape.max_position_embeddings,
            "clean_up_tokenization_spaces": False,
            "chat_template": chat_template,
        },
    }
