"""A model that thinks before it answers, for tests: the embedded one with marks for that.

Two of its special tokens become the marks of a thought, and its chat template opens one. It never
ends it by itself: what it says are words in no order.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from deployments import default_model
from tests.support.models import ENGINE_ARGS, SMALL

NAME = "thinker"
_MARKS = {"<|system|>": "<think>", "<|user|>": "</think>"}
_TEMPLATE = """\
{{ bos_token }}{% if tools %}{{ tools | tojson }}{% endif %}
{% for message in messages %}{{ message.role }}: {{ message.content }} {% endfor %}
{% if add_generation_prompt %}<|assistant|>{% endif %}
{% if enable_thinking is defined and not enable_thinking %}<think></think>
{% else %}<think>{% endif %}"""


def config(directory: Path) -> dict[str, Any]:
    """The configuration of the model, whose files are made in `directory`."""
    model, template = directory / NAME, directory / "template.jinja"
    shutil.copytree(default_model.ensure(SMALL), model)
    _edit(model / "tokenizer.json", _mark)
    _edit(model / "tokenizer_config.json", _forget_marks)
    template.write_text(_TEMPLATE.replace("\n", ""))
    return {
        "name": NAME,
        "source": str(model),
        "engine_args": ENGINE_ARGS,
        "cpu_threads": 1,
        "drain_timeout_s": 2,
        "tool_parser": "hermes",
        "reasoning_parser": "deepseek_r1",
        "chat_template": str(template),
    }


def _edit(file: Path, change: Any) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def _mark(tokenizer: dict[str, Any]) -> None:
    for token in tokenizer["added_tokens"]:
        if token["content"] in _MARKS:
            token |= {"content": _MARKS[token["content"]], "special": False}
    vocabulary = tokenizer["model"]["vocab"]
    for before, after in _MARKS.items():
        vocabulary[after] = vocabulary.pop(before)


def _forget_marks(config: dict[str, Any]) -> None:
    special = config["extra_special_tokens"]
    config["extra_special_tokens"] = [token for token in special if token not in _MARKS]
