"""vLLM's source text: who only needs a few names does not import it, which takes seconds."""

import ast
import importlib.util
from pathlib import Path


def statements(*path: str) -> list[ast.stmt]:
    """What one of vLLM's modules says, by its path in the package; empty where vLLM is not
    installed."""
    package = importlib.util.find_spec("vllm")
    if package is None or package.origin is None:
        return []
    return ast.parse(Path(package.origin).parent.joinpath(*path).read_text()).body
