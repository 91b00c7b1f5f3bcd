"""How a model chats, by the configuration."""

from pathlib import Path

import pytest

from serve_app import config
from serve_app.application import _engine
from serve_app.config import ConfigError, Settings
from serve_app.model_config import ModelConfig


def refusal(**fields: object) -> str:
    """Why a model with these keys is refused: one line."""
    with pytest.raises(ConfigError) as refused:
        config.load({"models": [{"name": "a", "source": "org/a", **fields}]})
    line = str(refused.value)
    assert line.splitlines() == [line]
    return line


def model(**fields: object) -> ModelConfig:
    return ModelConfig(name="a", source="org/a", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["tool_parser", "reasoning_parser"])
def test_a_parser_that_vllm_has_not_stops_the_start_with_those_that_it_has(key: str) -> None:
    line = refusal(**{key: "hermess"})
    assert line.startswith(f"models.0.{key}: vLLM has no such parser; it has ")
    known = {"tool_parser": "deepseek_v3, deepseek_v31", "reasoning_parser": "deepseek_r1, "}
    assert known[key] in line


def test_parsers_are_known_by_vllms_names() -> None:
    chosen = model(tool_parser="hermes", reasoning_parser="qwen3")
    assert chosen.has_parser
    assert not model().has_parser


def test_what_a_model_thinks_is_known_to_its_engine_too() -> None:
    thinks = model(reasoning_parser="qwen3")
    engine = _engine(thinks, 0, True, 1, Settings(models=[thinks]))
    arguments = engine._bound_deployment.init_args
    assert arguments[0]["reasoning_parser"] == "qwen3"
    line = refusal(engine_args={"reasoning_parser": "qwen3"})
    assert line == "models.0.engine_args: reasoning_parser is set by this model's reasoning_parser"


def test_a_chat_template_is_a_file_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my.jinja").write_text("{{ messages }}")
    monkeypatch.chdir(tmp_path)
    assert model(chat_template="my.jinja").chat_template == str(tmp_path.resolve() / "my.jinja")
    line = refusal(chat_template="your.jinja")
    assert line == "models.0.chat_template: there is no file your.jinja"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("chat_template_content_format", "xml"),
        ("tool_strict_level", "very"),
        ("default_chat_template_kwargs", "enable_thinking"),
    ],
)
def test_what_no_key_takes_stops_the_start(key: str, value: str) -> None:
    assert refusal(**{key: value}).startswith(f"models.0.{key}: ")
