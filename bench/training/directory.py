"""A trained model as a directory in Hugging Face's layout."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save
from tokenizers import Tokenizer

from bench.training.chat_text import TEMPLATE
from bench.training.model import Llama
from bench.training.tokenizer import SPECIAL
from deployments.llama_layout import configs

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
    # All but greedy, unless a client asks for more: there is one right answer.
    sampling = {"do_sample": True, "temperature": 0.01}
    files = configs(model.shape, SPECIAL, TEMPLATE, tied=True, ends_answers=True, **sampling)
    for file, config in files.items():
        (directory / file).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return hashlib.sha256(content).hexdigest()
