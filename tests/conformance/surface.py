"""What OpenAI's API and vLLM's server have, endpoints and fields, from their packages' sources.

Read as text: importing vLLM takes seconds, and nothing of it has to run.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_METHODS = {"get", "post", "put", "delete", "patch"}


@cache
def _package(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def vllm_endpoints() -> set[str]:
    """Method and path of everything that any of vLLM's HTTP servers routes."""
    return {
        _endpoint("GET" if method == "websocket" else method, path)
        for file in (_package("vllm") / "entrypoints").rglob("*.py")
        for method, path in _calls(_tree(file), {*_METHODS, "websocket"}, of="router")
    }


def openai_endpoints() -> set[str]:
    """Method and path of everything that the `openai` client can ask for."""
    found = set()
    for file in (_package("openai") / "resources").rglob("*.py"):
        for method, path in _calls(_tree(file), {f"_{each}" for each in _METHODS}):
            found.add(_endpoint(method.removeprefix("_"), f"/v1{path}"))
        for _, path in _calls(_tree(file), {"_get_api_list"}):
            found.add(_endpoint("get", f"/v1{path}"))
    return found


def _endpoint(method: str, path: str) -> str:
    return f"{method.upper()} {re.sub(r'{[^}]*}', '{}', path.partition('?')[0])}"


def _calls(
    tree: ast.Module, names: set[str], *, of: str | None = None
) -> Iterator[tuple[str, str]]:
    """The methods of these names that are called with a path, and those paths."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner = node.func.value
        if of is not None and not (isinstance(owner, ast.Name) and owner.id == of):
            continue
        if node.func.attr in names and node.args and (path := _path(node.args[0])) is not None:
            yield node.func.attr, path


def _path(argument: ast.expr) -> str | None:
    # A path with variables is a template, which is filled in by a function.
    if isinstance(argument, ast.Call) and argument.args:
        argument = argument.args[0]
    if isinstance(argument, ast.Constant) and str(argument.value).startswith("/"):
        return str(argument.value)
    return None


def vllm_fields(module: str, *models: str) -> set[str]:
    """The fields of vLLM's request models of these names, with those that they inherit."""
    file = _package("vllm") / f"{module.replace('.', '/')}.py"
    return set().union(*(_fields(file, model) for model in models))


def _fields(file: Path, name: str) -> set[str]:
    for node in _tree(file).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _own_fields(node).union(
                *(_fields(file, base.id) for base in node.bases if isinstance(base, ast.Name))
            )
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            source = _imported(file, node)
            return _fields(source, name) if source is not None else set()
    return set()


def _imported(file: Path, node: ast.ImportFrom) -> Path | None:
    """The file of vLLM's that a name comes from."""
    parts = (node.module or "").split(".")
    if node.level:
        source = file.parents[node.level - 1].joinpath(*parts)
    elif parts[0] == "vllm":
        source = _package("vllm").joinpath(*parts[1:])
    else:
        return None
    return source.with_suffix(".py") if source.with_suffix(".py").is_file() else None


def _own_fields(node: ast.ClassDef) -> set[str]:
    return {
        each.target.id
        for each in node.body
        if isinstance(each, ast.AnnAssign)
        and isinstance(each.target, ast.Name)
        and not each.target.id.startswith("_")
        and "ClassVar" not in ast.unparse(each.annotation)
    }
