"""How each stack is started: command, environment and what else it reads."""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from bench import peers
from deployments import engine_args
from serve_app import environment

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
UNIPROC = engine_args.UNIPROC_EXECUTOR

_HIGH_THROUGHPUT = {
    # All that Ray's guide to high throughput lists (docs.ray.io, "Enable High Throughput on Ray
    # Serve with KubeRay"); the last is for engines over several processes of a Ray cluster.
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING": "1",
    "VLLM_USE_RAY_V2_EXECUTOR_BACKEND": "1",
}


@dataclass(frozen=True)
class Setup:
    """What every stack is given alike."""

    model: str
    """The name that clients ask for."""
    directory: Path
    engine_args: Mapping[str, Any]
    """vLLM's own names. What is not here stays each stack's own default."""
    start_timeout_s: float = 300
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Launch:
    """What to start."""

    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    scratch: Path | None = None
    """A directory of its own, to be removed when all has ended."""


Launcher = Callable[[Setup, int, Path], Launch]
"""How to serve a setup at a port; may write files into the given directory."""


def vllm(setup: Setup, port: int, _: Path) -> Launch:
    """`vllm serve`."""
    command = [str(peers.ensure()), "-m", "vllm.entrypoints.cli.main", "serve"]
    command += [str(setup.directory), "--served-model-name", setup.model]
    command += ["--host", HOST, "--port", str(port), *flags(setup.engine_args)]
    # Ray Serve and Sluice wait as long. In its own 5 s a starved server has closed connections
    # that carried a request already.
    return Launch(command, {"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "90"})


def rayllm(setup: Setup, port: int, _: Path) -> Launch:
    """ray.serve.llm as it comes."""
    python = str(peers.ensure())
    # Not where the logs go: the paths of Ray's sockets have to be short.
    scratch = Path(tempfile.mkdtemp(prefix="ray-"))
    given = {
        "model": setup.model,
        "source": str(setup.directory),
        "engine_args": dict(setup.engine_args),
        "host": HOST,
        "port": port,
        "temp_dir": str(scratch),
    }
    command = [python, "-m", "bench.rayllm", json.dumps(given)]
    # No other stack yields to the rest of the machine. OMP_NUM_THREADS stays Ray's 1: on a CPU vLLM
    # counts its workers' threads itself, and more of them elsewhere only spin.
    return Launch(command, {"RAY_worker_niceness": "0"}, scratch)


def rayllm_direct(setup: Setup, port: int, directory: Path) -> Launch:
    """ray.serve.llm at its fastest: the engine's own HTTP server behind HAProxy."""
    plain = rayllm(setup, port, directory)
    return replace(plain, environment={**plain.environment, **_HIGH_THROUGHPUT, **_haproxy_ports()})


def sluice(setup: Setup, port: int, directory: Path) -> Launch:
    """Sluice, with one replica of everything."""
    model = {
        "name": setup.model,
        "source": str(setup.directory),
        "engine_args": dict(setup.engine_args),
    }
    return serve_app({"models": [model]}, port, directory)


def serve_app(
    config: Mapping[str, Any], port: int, directory: Path, program: Sequence[str] = ("serve_app",)
) -> Launch:
    """Sluice on a configuration; the port is added to it. `program` is a module and its options."""
    file = directory / "sluice.yaml"
    file.write_text(yaml.safe_dump({"http": {"host": HOST, "port": port}, **config}))
    return Launch([sys.executable, "-m", *program, "--config", str(file)], _haproxy_ports())


def from_checkout(checkout: Path, launcher: Launcher) -> Launcher:
    """The same stack as another checkout has it, in this environment."""

    def launch(setup: Setup, port: int, directory: Path) -> Launch:
        plain = launcher(setup, port, directory)
        # Ray's workers look where their driver was started and then at PYTHONPATH, vLLM's engine
        # core at the latter: both come before the Sluice that is installed.
        words = ["env", "--chdir", str(checkout), f"PYTHONPATH={checkout}"]
        return replace(plain, command=[*words, *plain.command])

    return launch


def alone(setup: Setup, _port: int, _directory: Path) -> Launch:
    """The engine as Sluice configures it, with nothing around it."""
    args = {"model": str(setup.directory), **setup.engine_args}
    environment = {"VLLM_WORKER_MULTIPROC_METHOD": "spawn"}
    if engine_args.is_cpu_build():
        args = engine_args.for_model_on_cpu(engine_args.for_cpu(args), setup.directory)
        threads = engine_args.useful_threads(setup.directory, engine_args.machine_threads(1))
        environment |= engine_args.cpu_environment(threads)
    return Launch([sys.executable, "-m", "bench.alone", json.dumps(args)], environment)


def with_executor(launcher: Launcher, executor: str) -> Launcher:
    """The same stack under another executor, to compare two stacks on one engine."""

    def launch(setup: Setup, port: int, directory: Path) -> Launch:
        args = {**setup.engine_args, "distributed_executor_backend": executor}
        return launcher(replace(setup, engine_args=args), port, directory)

    return launch


def flags(args: Mapping[str, Any]) -> list[str]:
    """Engine arguments as vLLM's command line takes them."""
    words = []
    for name, value in args.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            words += [f"--{flag}", text]
    return words


def _haproxy_ports() -> dict[str, str]:
    """Else the same two on every start, so that no two could be up on one machine."""
    names = ("RAY_SERVE_HAPROXY_METRICS_PORT", "RAY_SERVE_HAPROXY_STATS_PORT")
    return {name: str(port) for name, port in zip(names, environment.free_ports(), strict=False)}
