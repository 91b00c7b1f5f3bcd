"""Which parsers vLLM has for what models mark as thoughts and as calls of tools.

Read from vLLM's source text.
"""

import ast
from functools import cache

from deployments import installed_vllm


def tool_parsers() -> frozenset[str]:
    """The names of vLLM's tool parsers; empty when vLLM is not installed."""
    return _keys("tool_parsers", "_TOOL_PARSERS_TO_REGISTER")


def reasoning_parsers() -> frozenset[str]:
    """The names of vLLM's reasoning parsers; empty when vLLM is not installed."""
    return _keys("reasoning", "_REASONING_PARSERS_TO_REGISTER")


@cache
def _keys(package: str, table: str) -> frozenset[str]:
    """The keys of the dictionary `table` in one of vLLM's packages."""
    for node in installed_vllm.statements(package, "__init__.py"):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if table in names:
                return frozenset(ast.literal_eval(key) for key in node.value.keys if key)
    return frozenset()
