"""What the model reads of a chat: the very template that it is served with."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from bench.training.example import Example
from bench.training.tokenizer import BOS

TEMPLATE = Path(__file__).with_name("chat_template.jinja").read_text(encoding="utf-8").rstrip("\n")


def prompt(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> str:
    """As transformers' `apply_chat_template` has it, at a tenth of the time."""
    return _template().render(
        messages=messages, tools=tools or None, bos_token=BOS, add_generation_prompt=True
    )


def prompt_of(example: Example) -> str:
    return prompt(example.messages, example.tools)


@cache
def _template() -> Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    return environment.from_string(TEMPLATE)


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
