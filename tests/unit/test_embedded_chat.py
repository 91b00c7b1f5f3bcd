"""The embedded model that answers: small, complete, and what a training writes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.training import chat_text
from bench.training.tokenizer import SPECIAL, TOOL_CALL
from deployments import default_model

MODEL = default_model.ensure("sluice-chat")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(MODEL)


def test_it_is_there_without_being_made(tmp_path: Path) -> None:
    assert default_model.ensure("sluice-chat", cache_dir=tmp_path) == MODEL
    assert default_model.locate("embedded:sluice-chat") == str(MODEL)
    assert not list(tmp_path.iterdir())


def test_its_files_have_8_megabytes_at_most() -> None:
    files = [path for path in MODEL.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 8_000_000


def test_it_has_four_million_parameters_at_most_in_bfloat16() -> None:
    with safe_open(MODEL / "model.safetensors", framework="pt") as weights:
        tensors = [weights.get_tensor(name) for name in weights.keys()]  # noqa: SIM118
    assert sum(tensor.numel() for tensor in tensors) <= 4_000_000
    assert {tensor.dtype for tensor in tensors} == {torch.bfloat16}


def test_transformers_loads_it_and_it_answers(tokenizer: Any) -> None:
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is 12 + 30?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    found = model.generate(**prompt, max_new_tokens=16, do_sample=False)
    answer = found[0, prompt["input_ids"].shape[1] :]
    assert tokenizer.decode(answer, skip_special_tokens=True) == "42"


def test_its_tokenizer_has_2048_tokens_and_all_its_special_ones(tokenizer: Any) -> None:
    assert len(tokenizer) == 2048
    marks = [*SPECIAL, *TOOL_CALL]
    assert tokenizer("".join(marks), add_special_tokens=False).tokens() == marks


def test_it_is_served_with_the_template_that_it_was_taught_with(tokenizer: Any) -> None:
    assert tokenizer.chat_template == chat_text.TEMPLATE
    ends = tokenizer.convert_tokens_to_ids(["<|eos|>", "<|end|>"])
    for file in ("config.json", "generation_config.json"):
        assert json.loads((MODEL / file).read_text())["eos_token_id"] == ends
