"""A trained model as a directory in Hugging Face's layout."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from tokenizers import Tokenizer

from bench.training.chat_text import TEMPLATE
from bench.training.model import NORM_EPS, ROPE_THETA, Llama, Shape
from bench.training.tokenizer import BOS, END, EOS, SPECIAL

WEIGHTS = "model.safetensors"


def write(directory: Path, model: Llama, tokenizer: Tokenizer) -> str:
    """Write all that serving it needs; gives the SHA-256 of the weights."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = {
        name: weight.detach().to(torch.bfloat16).contiguous()
        for name, weight in model.state_dict().items()
    }
    content = save(weights, metadata={"format": "pt"})
    (directory / WEIGHTS).write_bytes(content)
    tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
    for file, config in _configs(model.shape).items():
        (directory / file).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return hashlib.sha256(content).hexdigest()


def _configs(shape: Shape) -> dict[str, dict[str, Any]]:
    """The content of the JSON files, by file name."""
    token_ids = {
        "bos_token_id": SPECIAL.index(BOS),
        "eos_token_id": [SPECIAL.index(EOS), SPECIAL.index(END)],
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
            "tie_word_embeddings": True,
            **token_ids,
        },
        # All but greedy, unless a client asks for more: there is one right answer.
        "generation_config.json": {"do_sample": True, "temperature": 0.01, **token_ids},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BOS,
            "eos_token": EOS,
            "extra_special_tokens": [token for token in SPECIAL if token not in (BOS, EOS)],
            "model_max_length": shape.max_position_embeddings,
            "clean_up_tokenization_spaces": False,
            "chat_template": TEMPLATE,
        },
    }
