"""Engine arguments: which ones vLLM knows, and what we choose on purpose for a CPU engine.

Read from vLLM's source text, not by importing it: that takes seconds, and the process that checks
a configuration needs nothing else of vLLM.
"""

import ast
import importlib.metadata
import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from deployments import installed_vllm

CPU_WORKER = "deployments.vllm_cpu.CpuWorker"
CPU_NORM_PROVIDER = "vllm_c_cpu"
"""vLLM's own compiled kernels for normalization, which its CPU engine has and does not use: 4 to 9
times as fast as the ten operators of torch that it composes them of (docs/architecture.md)."""
UNIPROC_EXECUTOR = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
"""Runs the model in the engine core's own process. vLLM's CPU platform turns the short name "uni"
into "mp": a worker process, beside which the engine core spins on a core that the worker's OpenMP
threads need (measured in docs/architecture.md)."""
RESUMING = {
    "scheduler_cls": "deployments.vllm_resume.scheduler",
    "worker_extension_cls": "deployments.vllm_worker.ResumingWorker",
}
"""What lets an engine go on with a sequence that another engine began. Every engine has it, and a
user's choice of these would take it away."""
ORDER = {"scheduling_policy": "priority"}
"""In an engine, prompts wait in the order of deployments/vllm_order.py, which needs this."""
MAX_LOGPROBS = 20
"""How many alternatives vLLM reports at the most, if it is not told."""
FORMS_BACKEND = "xgrammar"
"""What holds text to forms. vLLM's own choice, "auto", is one by form, but its engine core keeps to
the first one that came; and forms are tried out with this one before an engine gets them."""
_CPU_NORMS = f"{CPU_NORM_PROVIDER},native"
DEFAULT_CPU_KV_CACHE_BYTES = 1 << 30
SMALL_MODEL_BYTES = 32 << 20
"""Weights below this are a small model's (docs/architecture.md has the measurement)."""

SMOOTH_BATCH_TOKENS = 256
"""A step of a CPU engine takes no more tokens than this, and no stream stands still in it for long
(docs/architecture.md)."""

_BATCH_SIZE_ARGS = {"max_num_batched_tokens", "enable_chunked_prefill", "runner"}
_KV_SIZE_ARGS = {"kv_cache_memory_bytes", "gpu_memory_utilization", "num_gpu_blocks_override"}


def is_cpu_build() -> bool:
    """True when the installed vLLM is its CPU build."""
    try:
        importlib.metadata.version("vllm-cpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


@cache
def known() -> frozenset[str]:
    """The names of vLLM's engine arguments; empty when vLLM is not installed."""
    names: set[str] = set()
    for node in installed_vllm.statements("engine", "arg_utils.py"):
        if isinstance(node, ast.ClassDef) and node.name in {"EngineArgs", "AsyncEngineArgs"}:
            names |= {
                field.target.id
                for field in node.body
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            }
    return frozenset(names)


def structured_outputs_config(args: Mapping[str, Any]) -> dict[str, Any]:
    """vLLM's argument of that name: a user's, with our backend. Raises ValueError for another."""
    given = args.get("structured_outputs_config") or {}
    if not isinstance(given, dict):
        raise ValueError("structured_outputs_config must be written as keys and values")
    if given.get("backend", FORMS_BACKEND) != FORMS_BACKEND:
        raise ValueError(f"structured_outputs_config.backend must be {FORMS_BACKEND}")
    return {**given, "backend": FORMS_BACKEND}


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
    # The compiler fuses the composed ones, and better, but vLLM does not compile beside LoRA.
    if args.get("enforce_eager") or args.get("enable_lora"):
        chosen["ir_op_priority"] = dict.fromkeys(("rms_norm", "fused_add_rms_norm"), _CPU_NORMS)
    return chosen | dict(args)


def cpu_environment(threads: int) -> dict[str, str]:
    """The environment of a CPU engine replica, which its engine core inherits.

    Ray would set OMP_NUM_THREADS=1. Binding threads to cores is left to the kernel: engines of
    one machine would all bind to the same ones.
    """
    return {"OMP_NUM_THREADS": str(threads), "VLLM_CPU_OMP_THREADS_BIND": "nobind"}


def for_model_on_cpu(args: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """`args` with our choices for the model in `directory`, where the user made none."""
    max_num_seqs = args.get("max_num_seqs") or 0
    if _BATCH_SIZE_ARGS & args.keys() or not _is_generator(directory):
        return dict(args)
    return {**args, "max_num_batched_tokens": max(SMOOTH_BATCH_TOKENS, max_num_seqs)}


def _is_generator(directory: Path) -> bool:
    """Whether a text generator is there, whose prompts vLLM can take in pieces."""
    try:
        architectures = json.loads((directory / "config.json").read_text())["architectures"]
    except (OSError, ValueError, KeyError):
        return False
    return any(name.endswith("ForCausalLM") for name in architectures)


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
