"""Engine arguments: which ones vLLM knows, and what we choose on purpose for a CPU engine.

Read from vLLM's source text, not by importing it: that takes seconds, and the process that checks
a configuration needs nothing else of vLLM.
"""

import ast
import importlib.util
import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

CPU_WORKER = "deployments.vllm_cpu.CpuWorker"
UNIPROC_EXECUTOR = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
"""Runs the model in the engine core's own process. vLLM's CPU platform turns the short name "uni"
into "mp": a worker process, beside which the engine core spins on a core that the worker's OpenMP
threads need (measured in docs/architecture.md)."""
DEFAULT_CPU_KV_CACHE_BYTES = 1 << 30
SMALL_MODEL_BYTES = 32 << 20
"""Weights below this are a small model's (docs/architecture.md has the measurement)."""

SMOOTH_BATCH_TOKENS = 256
"""A step of a CPU engine takes no more tokens than this (docs/architecture.md)."""

_BATCH_SIZE_ARGS = {"max_num_batched_tokens", "enable_chunked_prefill", "runner"}
_KV_SIZE_ARGS = {"kv_cache_memory_bytes", "gpu_memory_utilization", "num_gpu_blocks_override"}


@cache
def known() -> frozenset[str]:
    """The names of vLLM's engine arguments; empty when vLLM is not installed."""
    package = importlib.util.find_spec("vllm")
    if package is None or package.origin is None:
        return frozenset()
    source = (Path(package.origin).parent / "engine" / "arg_utils.py").read_text()
    names: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name in {"EngineArgs", "AsyncEngineArgs"}:
            names |= {
                field.target.id
                for field in node.body
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            }
    return frozenset(names)


def world_size(args: Mapping[str, Any]) -> int:
    """How many devices one engine replica spans."""
    return int(args.get("tensor_parallel_size", 1)) * int(args.get("pipeline_parallel_size", 1))


def for_cpu(args: Mapping[str, Any]) -> dict[str, Any]:
    """`args` with our choices for a CPU engine where the user made none."""
    chosen: dict[str, Any] = {"worker_cls": CPU_WORKER}
    if world_size(args) == 1:
        chosen["distributed_executor_backend"] = UNIPROC_EXECUTOR
    if not _KV_SIZE_ARGS & args.keys():
        # vLLM's default is a share of the whole NUMA node, and start-up fails if it is not free.
        chosen["kv_cache_memory_bytes"] = DEFAULT_CPU_KV_CACHE_BYTES
    return chosen | dict(args)


def cpu_environment(threads: int) -> dict[str, str]:
    """The environment of a CPU engine replica, which its engine core inherits.

    Ray would set OMP_NUM_THREADS=1. Binding threads to cores is left to the kernel: engines of
    one machine would all bind to the same ones.
    """
    return {"OMP_NUM_THREADS": str(threads), "VLLM_CPU_OMP_THREADS_BIND": "nobind"}


def for_model_on_cpu(args: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """`args` with our choices for the model in `directory`, where the user made none.

    A batch of fewer tokens: on a CPU the 2,048 of vLLM's default are a step of 0.4 s for a model of
    90M parameters, in which every stream stands still. The smallest models have no such steps.
    """
    max_num_seqs = args.get("max_num_seqs") or 0
    if _BATCH_SIZE_ARGS & args.keys() or not _is_large_generator(directory):
        return dict(args)
    return {**args, "max_num_batched_tokens": max(SMOOTH_BATCH_TOKENS, max_num_seqs)}


def _is_large_generator(directory: Path) -> bool:
    """Whether a text generator, whose prompts vLLM can take in pieces, is there, no tiny one."""
    try:
        architectures = json.loads((directory / "config.json").read_text())["architectures"]
    except (OSError, ValueError, KeyError):
        return False
    generates = any(name.endswith("ForCausalLM") for name in architectures)
    return generates and _weights_bytes(directory) >= SMALL_MODEL_BYTES


def useful_threads(directory: Path, available: int) -> int:
    """How many of `available` OpenMP threads the CPU engine of the model in `directory` should use.

    A model whose weights are a few megabytes gains little from a second thread, and pays for it at
    the end of every operator whenever a serving process has taken that thread's core. What is no
    directory (a hub's id) is of unknown size and gets all.
    """
    return 1 if 0 < _weights_bytes(directory) < SMALL_MODEL_BYTES else available


def _weights_bytes(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.glob("*.safetensors"))


def machine_threads(engines: int) -> int:
    """OpenMP threads for each of `engines` CPU engines on this machine."""
    return max(1, (os.cpu_count() or 1) // max(1, engines))
