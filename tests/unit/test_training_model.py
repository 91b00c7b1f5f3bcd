"""The model that is trained: transformers and vLLM's tokenizer files read it as we do."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from jinja2 import TemplateError
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.training import chat_text, directory, muon, tokenizer
from bench.training.model import Llama
from deployments.llama_layout import Shape

SMALL = Shape(
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    vocab_size=300,
    max_position_embeddings=64,
)
TEXTS = ['Ann met "Ann" at the station in 2024.', "去公园 and back again to the city", "élève"]
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Where."},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
        },
    },
}
NOW: dict[str, Any] = {"type": "function", "function": {"name": "now"}}
CALLED: dict[str, Any] = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "now", "arguments": {}}},
        {"function": {"name": "get_weather", "arguments": {"city": "Orléans"}}},
    ],
}
QUESTION = {"role": "user", "content": "Which day is it?\n"}
CHATS: list[list[dict[str, Any]]] = [
    [QUESTION],
    [{"role": "system", "content": "Be kind."}, QUESTION],
    [QUESTION, CALLED, {"role": "tool", "content": "Monday"}, QUESTION],
    [QUESTION, {"role": "assistant", "content": "No."}, {"role": "system", "content": "!"}],
]


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    return tokenizer.train(TEXTS, SMALL.vocab_size)


@pytest.fixture(scope="module")
def model() -> Llama:
    torch.manual_seed(3)
    model = Llama(SMALL)
    for weight in model.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    return model


@pytest.fixture(scope="module")
def written(model: Llama, trained: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    directory.write(path, model, trained)
    return path


def test_transformers_finds_the_same_logits_in_what_is_written(model: Llama, written: Path) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(written, dtype=torch.float32)
    for weight in model.parameters():
        weight.data = weight.data.to(torch.bfloat16).float()
    tokens = torch.arange(40).reshape(2, 20)
    with torch.no_grad():
        found, expected = model.logits(model(tokens)), theirs(tokens).logits
    assert torch.allclose(found, expected, atol=1e-4)


def test_what_follows_does_not_change_what_is_before(model: Llama) -> None:
    long, short = torch.arange(20)[None], torch.arange(12)[None]
    with torch.no_grad():
        assert torch.allclose(model(long)[:, :12], model(short), atol=1e-5)


def test_the_same_weights_are_written_the_same(
    model: Llama, trained: Tokenizer, tmp_path: Path
) -> None:
    first = directory.write(tmp_path / "a", model, trained)
    assert directory.write(tmp_path / "b", model, trained) == first


@pytest.mark.parametrize("text", ["", " Ann's  café\n", "漢字 and 👩‍👩‍👧", "\x00\ufffd 12.5%"])
def test_any_text_comes_back_from_the_tokenizer_unchanged(text: str, written: Path) -> None:
    read = AutoTokenizer.from_pretrained(written)
    assert read.decode(read(text).input_ids, skip_special_tokens=True) == text


def test_a_name_is_the_same_tokens_wherever_it_stands(trained: Tokenizer) -> None:
    def tokens(text: str) -> list[str]:
        found: list[str] = trained.encode(text, add_special_tokens=False).tokens
        return found

    name = tokens("Annabel")
    for text in ('"Annabel"', " Annabel.", "(Annabel)"):
        found = tokens(text)
        assert any(found[i : i + len(name)] == name for i in range(len(found)))


def test_each_digit_is_a_token(trained: Tokenizer) -> None:
    assert trained.encode("2024", add_special_tokens=False).tokens == ["2", "0", "2", "4"]


def test_the_marks_of_a_call_are_single_tokens_that_are_not_left_out(written: Path) -> None:
    read = AutoTokenizer.from_pretrained(written)
    marks = list(tokenizer.TOOL_CALL)
    found = read("".join(marks), add_special_tokens=False)
    assert found.tokens() == marks
    assert read.decode(found.input_ids, skip_special_tokens=True) == "".join(marks)
    special = read("".join(tokenizer.SPECIAL), add_special_tokens=False)
    assert special.tokens() == list(tokenizer.SPECIAL)
    assert read.decode(special.input_ids, skip_special_tokens=True) == ""


def test_the_end_of_its_turn_is_the_end_of_a_text(written: Path) -> None:
    assert AutoTokenizer.from_pretrained(written).eos_token == "<|end|>"


def test_ends_of_text_and_of_turn_stop_generation(written: Path, trained: Tokenizer) -> None:
    ends = [trained.token_to_id(token) for token in ("<|eos|>", "<|end|>")]
    for file in ("config.json", "generation_config.json"):
        assert json.loads((written / file).read_text())["eos_token_id"] == ends


@pytest.mark.parametrize("tools", [[], [WEATHER, NOW]])
@pytest.mark.parametrize("messages", CHATS)
def test_it_is_taught_the_prompts_that_it_is_served(
    messages: list[dict[str, Any]], tools: list[dict[str, Any]], written: Path
) -> None:
    read = AutoTokenizer.from_pretrained(written)
    served = read.apply_chat_template(
        messages, tools=tools or None, tokenize=False, add_generation_prompt=True
    )
    assert chat_text.prompt(messages, tools) == served


def test_tools_are_a_line_each_in_the_system_message() -> None:
    assert chat_text.prompt([QUESTION], [WEATHER, NOW]) == (
        '<|bos|><|system|>{"name": "get_weather", "description": "The weather in a city.", '
        '"parameters": {"city": "string", "unit": ["celsius", "fahrenheit"]}}\n'
        '{"name": "now", "description": "", "parameters": {}}<|end|>'
        "<|user|>Which day is it?\n<|end|><|assistant|>"
    )


def test_earlier_calls_look_as_they_were_written() -> None:
    assert chat_text.prompt([QUESTION, CALLED]).endswith(
        '<|assistant|><tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>\n'
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Orléans"}}\n</tool_call>'
        "<|end|><|assistant|>"
    )


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(TemplateError, match="unknown role: ghost"):
        chat_text.prompt([{"role": "ghost", "content": "Boo."}])


def test_muon_makes_all_directions_count_about_the_same() -> None:
    torch.manual_seed(0)
    for size in ((2, 8, 24), (2, 24, 8)):
        values = torch.linalg.svdvals(muon.orthogonal(torch.randn(size)).float())
        assert values.min() > 0.4
        assert values.max() < 1.4
