"""The embedded models: made once, always the same, and readable by transformers."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from jinja2 import TemplateError
from safetensors import safe_open
from transformers import AutoTokenizer

from deployments import default_model
from deployments.default_model import EMBEDDED, ensure
from deployments.llama_layout import Shape


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure("sluice-small", cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def tokenizer(model: Path) -> Any:
    return AutoTokenizer.from_pretrained(model)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_model_is_made_once_and_then_reused(tmp_path: Path) -> None:
    first = ensure("sluice-small", cache_dir=tmp_path)
    made = {path: path.stat().st_mtime_ns for path in [first, *first.iterdir()]}
    assert ensure("sluice-small", cache_dir=tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in [first, *first.iterdir()]} == made


def test_two_makings_are_byte_identical(model: Path, tmp_path: Path) -> None:
    other = ensure("sluice-small", cache_dir=tmp_path)
    assert other != model
    assert other.name == model.name
    assert contents(other) == contents(model)


def test_making_leaves_the_global_random_state_alone(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    ensure("sluice-small", cache_dir=tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_a_killed_process_left_half_made_is_not_used(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(default_model, "_weights", killed)
        with pytest.raises(KeyboardInterrupt):
            ensure("sluice-small", cache_dir=tmp_path)
    [half_made] = [path for path in (tmp_path / "models").iterdir() if path.is_dir()]
    (half_made / "model.safetensors").write_bytes(b"half of it")

    directory = ensure("sluice-small", cache_dir=tmp_path)

    assert directory != half_made
    assert contents(directory) == contents(model)
    assert not half_made.exists()


def test_callers_at_the_same_time_get_one_model_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    makings: list[Path] = []
    make = default_model._make

    def counted(directory: Path, shape: Shape) -> None:
        makings.append(directory)
        make(directory, shape)

    monkeypatch.setattr(default_model, "_make", counted)
    with ThreadPoolExecutor(4) as callers:
        calls = [callers.submit(ensure, "sluice-small", cache_dir=tmp_path) for _ in range(4)]
    assert len({call.result() for call in calls}) == 1
    assert len(makings) == 1


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SLUICE_CACHE_DIR": "own", "XDG_CACHE_HOME": "xdg"}, "own"),
        ({"XDG_CACHE_HOME": "xdg"}, "xdg/sluice"),
        ({}, "home/.cache/sluice"),
    ],
)
def test_the_cache_directory_comes_from_the_environment(
    environment: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLUICE_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, directory in environment.items():
        monkeypatch.setenv(name, str(tmp_path / directory))
    monkeypatch.setattr(default_model, "_make", lambda *_: None)
    assert ensure("sluice-small").parent == tmp_path / expected / "models"


def test_a_relative_cache_directory_gives_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(default_model, "_make", lambda *_: None)
    assert ensure("sluice-small", cache_dir=Path("cache")).parent == tmp_path / "cache" / "models"


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nonesuch") as refused:
        ensure("nonesuch", cache_dir=tmp_path)
    message = str(refused.value)
    assert "\n" not in message
    assert all(name in message for name in EMBEDDED)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "at_least", "at_most"),
    [("sluice-small", 4_000_000, 4_500_000), ("sluice-90m", 86_000_000, 92_000_000)],
)
def test_the_shapes_have_the_sizes_they_claim(name: str, at_least: int, at_most: int) -> None:
    shape = EMBEDDED[name]
    assert at_least <= shape.num_parameters <= at_most
    assert shape.max_position_embeddings == 2048
    assert shape.head_dim == 64
    assert shape.num_attention_heads % shape.num_key_value_heads == 0


def test_the_weights_on_disk_are_those_of_the_shape(model: Path) -> None:
    with safe_open(model / "model.safetensors", framework="pt") as weights:
        tensors = {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118
    assert {name: tuple(t.shape) for name, t in tensors.items()} == EMBEDDED[
        "sluice-small"
    ].tensors()
    assert {t.dtype for t in tensors.values()} == {torch.bfloat16}


def test_the_output_pushes_down_all_but_words_and_punctuation(model: Path, tokenizer: Any) -> None:
    with safe_open(model / "model.safetensors", framework="pt") as weights:
        bias = weights.get_tensor("lm_head.weight")[:, 0]
    spoken = [tokenizer.decode([i]) for i in range(len(tokenizer)) if bias[i] == 0]
    assert len(spoken) > 500
    assert all(token in ",.?!" or token.lstrip(" ").isalpha() for token in spoken)
    assert all(token.isascii() for token in spoken)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A plain sentence, with 12.5% of everything.",
        "  two  spaces\tand\r\nlines \n\n ",
        "Grüße, 漢字, עברית, e\u0301 and 👩‍👩‍👧‍👦",
        "\x00\x7f\u200d\ufffd\U0010ffff",
    ],
)
def test_any_text_comes_back_from_the_tokenizer_unchanged(text: str, tokenizer: Any) -> None:
    token_ids = tokenizer(text).input_ids
    assert token_ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(token_ids, skip_special_tokens=True) == text


def test_the_tokenizer_has_2048_tokens_and_one_for_each_special(tokenizer: Any) -> None:
    assert tokenizer.is_fast
    assert len(tokenizer) == 2048
    specials = ["<|bos|>", "<|eos|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
    assert tokenizer("".join(specials), add_special_tokens=False).tokens() == specials
    assert (
        tokenizer.decode(tokenizer.convert_tokens_to_ids(specials), skip_special_tokens=True) == ""
    )
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|bos|>", "<|eos|>")


def test_both_ends_of_text_and_of_turn_stop_generation(model: Path, tokenizer: Any) -> None:
    ends = tokenizer.convert_tokens_to_ids(["<|eos|>", "<|end|>"])
    for file in ("config.json", "generation_config.json"):
        assert json.loads((model / file).read_text())["eos_token_id"] == ends


def test_the_chat_template_renders_roles_and_generation_prompt(tokenizer: Any) -> None:
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello!\n"},
        {"role": "assistant", "content": "Good day."},
        {"role": "user", "content": "Go on."},
    ]
    dialog = tokenizer.apply_chat_template(messages, tokenize=False)
    assert dialog == (
        "<|bos|><|system|>Be kind.<|end|><|user|>Hello!\n<|end|>"
        "<|assistant|>Good day.<|end|><|user|>Go on.<|end|>"
    )
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert prompt == dialog + "<|assistant|>"


def test_the_chat_template_refuses_an_unknown_role(tokenizer: Any) -> None:
    with pytest.raises(TemplateError, match="unknown role: ghost"):
        tokenizer.apply_chat_template([{"role": "ghost", "content": "Boo."}], tokenize=False)
