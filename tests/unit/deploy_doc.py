"""The examples of docs/deploy.md."""

import re

import yaml

from serve_app.model_config import ModelConfig
from tests.support.server import ROOT

_YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def models_of(path: str) -> list[ModelConfig]:
    """The models of a document's YAML blocks, one by one."""
    blocks = map(yaml.safe_load, _YAML.findall((ROOT / path).read_text()))
    entries = [entry for block in blocks if "models" in block for entry in block["models"]]
    return [ModelConfig.model_validate(entry) for entry in entries]
