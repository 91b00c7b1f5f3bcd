"""What the files of a LoRA adapter say, in PEFT's layout: its rank, and whether it fits a model.

vLLM looks at little of this. It passes over weights for layers that the model has not, and copies a
matrix that is too small into a corner of its own.
"""

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

_MAX_HEADER_BYTES = 100_000_000  # as safetensors itself has it
_PREFIX = "base_model.model."
_NAMED_APART = frozenset({"lm_head", "embed_tokens"})
"""Modules that a checkpoint may have under another's name only, where weights are tied."""
_PLAIN = frozenset({"F64", "F32", "F16", "BF16"})
"""Types of weights that are not packed, so that their shape is the matrix's."""

Shape = tuple[int, ...]


class AdapterError(Exception):
    """What is wrong with an adapter, in one line."""


def rank(directory: Path) -> int:
    """The largest rank of any of its matrices, as its configuration has it. Raises AdapterError."""
    content = _read_config(directory)
    patterns = content.get("rank_pattern") or {}
    ranks: list[Any] = [content.get("r")]
    ranks += patterns.values() if isinstance(patterns, dict) else [None]
    if not all(type(value) is int and value > 0 for value in ranks):
        raise AdapterError(f"{directory / CONFIG} has a rank (r) that is no whole number from 1 up")
    return int(max(ranks))


def check(directory: Path, model: Path | None) -> None:
    """Raises AdapterError for an adapter that is not for the model in that directory.

    A model that is no directory, or has no safetensors, is taken to fit.
    """
    rank(directory)
    shapes = {name: shape for name, (_, shape) in _tensors(directory / WEIGHTS).items()}
    pairs = _pairs(directory, shapes)
    if model is not None:
        _check_fit(directory, pairs, _model_tensors(model))


def _read_config(directory: Path) -> Mapping[str, Any]:
    file = directory / CONFIG
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as exc:
        raise AdapterError(f"{file}: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise AdapterError(f"{file} is not JSON: {exc}") from exc
    if not isinstance(content, dict):
        raise AdapterError(f"{file} is no JSON object")
    return content


def _tensors(file: Path) -> dict[str, tuple[str, Shape]]:
    """Type and shape of every tensor in a safetensors file, from its header."""
    try:
        with file.open("rb") as opened:
            start = opened.read(8)
            size = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            header = opened.read(size) if 0 < size <= _MAX_HEADER_BYTES else b""
    except OSError as exc:
        raise AdapterError(f"{file}: {exc.strerror}") from exc
    try:
        content = json.loads(header)
        return {
            name: (entry["dtype"], tuple(entry["shape"]))
            for name, entry in content.items()
            if name != "__metadata__"
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise AdapterError(f"{file} is no safetensors file") from exc


def _pairs(directory: Path, shapes: Mapping[str, Shape]) -> dict[str, tuple[Shape, Shape]]:
    """The shapes of the two matrices of each module: A is rank x inputs, B is outputs x rank."""
    pairs: dict[str, tuple[Shape, Shape]] = {}
    for name, a in shapes.items():
        if not name.endswith(".lora_A.weight"):
            continue
        module = name.removesuffix(".lora_A.weight")
        b = shapes.get(f"{module}.lora_B.weight")
        module = module.removeprefix(_PREFIX)
        if b is None or len(a) != 2 or len(b) != 2 or a[0] != b[1]:
            raise AdapterError(f"{directory}: the matrices of {module} do not go together")
        pairs[module] = (a, b)
    if not pairs and not any("lora_embedding_A" in name for name in shapes):
        raise AdapterError(f"{directory / WEIGHTS} has no LoRA matrices")
    return pairs


def _model_tensors(model: Path) -> dict[str, tuple[str, Shape]]:
    tensors = {}
    for file in sorted(model.glob("*.safetensors")):
        tensors.update(_tensors(file))
    return tensors


def _check_fit(
    directory: Path,
    pairs: Mapping[str, tuple[Shape, Shape]],
    tensors: Mapping[str, tuple[str, Shape]],
) -> None:
    modules = _modules(tensors)
    if modules.isdisjoint(pairs):  # vLLM knows the model by other names, or it has no safetensors
        return
    for module, (a, b) in pairs.items():
        if module.rpartition(".")[2] in _NAMED_APART:
            continue
        if module not in modules:
            raise AdapterError(f"{directory} is for a model with {module}, which this one has not")
        kind, shape = tensors.get(f"{module}.weight", ("", ()))
        if kind in _PLAIN and len(shape) == 2 and shape != (b[0], a[1]):
            raise AdapterError(
                f"{directory} has {module} as a matrix of {b[0]} x {a[1]}, and the model has it "
                f"as one of {shape[0]} x {shape[1]}"
            )


def _modules(tensors: Iterable[str]) -> frozenset[str]:
    """The names of all modules, those that consist of others included."""
    found: set[str] = set()
    for name in tensors:
        while name := name.rpartition(".")[0]:
            if name in found:
                break
            found.add(name)
    return frozenset(found)
