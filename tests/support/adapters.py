"""LoRA adapters for the embedded models, made of random numbers, and what they are to answer."""

import json
from pathlib import Path
from typing import Any

from deployments import default_model

_MODULES = ("self_attn.q_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.down_proj")


def make(
    directory: Path,
    model: str = "sluice-small",
    *,
    seed: int,
    rank: int = 4,
    strength: float = 1.0,
    **config: Any,
) -> Path:
    """An adapter of some modules of every layer; another seed gives other answers."""
    import torch
    from safetensors.torch import save

    shape = default_model.EMBEDDED[model]
    sizes = shape.tensors()
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer in range(shape.num_hidden_layers):
        for module in _MODULES:
            outputs, inputs = sizes[f"model.layers.{layer}.{module}.weight"]
            name = f"base_model.model.model.layers.{layer}.{module}"
            a = torch.randn(rank, inputs, generator=generator) * inputs**-0.5
            b = torch.randn(outputs, rank, generator=generator) * rank**-0.5
            tensors[f"{name}.lora_A.weight"] = a
            tensors[f"{name}.lora_B.weight"] = b * strength
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "adapter_model.safetensors").write_bytes(save(tensors))
    content = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": rank,
        "target_modules": [module.rpartition(".")[2] for module in _MODULES],
        **config,
    }
    (directory / "adapter_config.json").write_text(json.dumps(content))
    return directory


def answers(
    adapter: Path | None, prompts: list[list[int]], max_tokens: int, model: str = "sluice-small"
) -> list[list[int]]:
    """Greedy token ids by transformers, with the adapter added to the model's own matrices."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(default_model.ensure(model), dtype=torch.float32)
    if adapter is not None:
        config = json.loads((adapter / "adapter_config.json").read_text())
        matrices = load_file(adapter / "adapter_model.safetensors")
        for name in [name for name in matrices if ".lora_A." in name]:
            module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            b = matrices[name.replace(".lora_A.", ".lora_B.")]
            scale = config["lora_alpha"] / config["r"]
            base.get_submodule(module).weight.data += scale * b @ matrices[name]
    options = {"max_new_tokens": max_tokens, "do_sample": False, "pad_token_id": 0}
    outputs = [base.generate(torch.tensor([prompt]), **options)[0] for prompt in prompts]
    return [o[len(p) :].tolist() for o, p in zip(outputs, prompts, strict=True)]
