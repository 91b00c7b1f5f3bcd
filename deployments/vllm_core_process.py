"""The engine core's process, made ready while ours is.

Both need vLLM in memory, which takes each of them seconds: as vLLM has it, one after the other.
Here multiprocessing's fork server imports vLLM while we do, and the engine core is forked from it.
Written against vLLM 0.32.0 (`vllm.v1.engine.utils`). For CPUs; with GPUs it has not been tried.
"""

import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from multiprocessing import context, forkserver
from pathlib import Path
from typing import Any

_IMPORTED = [
    "ray",  # by the main module of every Ray worker, which a forked process runs again
    "vllm.v1.engine.core",
    "deployments.vllm_cpu",
    "deployments.vllm_resume",
    "deployments.vllm_worker",
]
_READ_AT_IMPORT = {"TORCHINDUCTOR_COMPILE_THREADS": "1", "TORCHINDUCTOR_CPP_DYNAMIC_THREADS": "1"}
"""What vLLM's CPU platform sets for its engine core, and would set too late for the fork server."""
_PRELOADED = (
    ("vllm", "libs/libtcmalloc_minimal*.so*"),
    ("torch", "../torch.libs/libgomp*.so*"),
    ("torch", "lib/libgomp*.so*"),
)
"""The libraries that vLLM's CPU platform has the loader take first, each by package."""


def prepare() -> None:
    """Start the fork server. Call when the environment is as the engine core needs it, and before
    vLLM is imported.
    """
    os.environ |= _READ_AT_IMPORT
    libraries = [os.environ.get("LD_PRELOAD", ""), *map(str, _libraries())]
    os.environ["LD_PRELOAD"] = ":".join(filter(None, libraries))
    forkserver.set_forkserver_preload(_IMPORTED)
    forkserver.ensure_running()


def use() -> None:
    """Have vLLM fork engine cores from it."""
    from vllm.v1.engine import utils

    utils.get_mp_context = _Context


class _Context(context.ForkServerContext):
    """A fork server's, whose processes have our environment as it is now."""

    def Process(  # type: ignore[override]  # noqa: N802
        self, *, target: Callable[..., None], name: str, kwargs: Mapping[str, Any]
    ) -> context.ForkServerProcess:
        given = {"target": target, "environ": dict(os.environ), "kwargs": kwargs}
        return context.ForkServerProcess(target=_begin, name=name, kwargs=given)


def _begin(
    target: Callable[..., None], environ: Mapping[str, str], kwargs: Mapping[str, Any]
) -> None:
    # Only what differs: a process finds the place of its title by its first variable.
    os.environ |= {n: value for n, value in environ.items() if os.environ.get(n) != value}
    target(**kwargs)


def _libraries() -> list[Path]:
    found = []
    for package, pattern in _PRELOADED:
        spec = find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        folder, _, file = pattern.rpartition("/")
        found += sorted((Path(spec.origin).parent / folder).resolve().glob(file))[:1]
    return found
