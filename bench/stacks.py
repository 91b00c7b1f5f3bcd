"""How each stack starts, and how nothing of it is left when it stops."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import yaml

from bench.processes import MARK, MARKED_ENVIRONMENT, Tree, label_of

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
UNIPROC = "vllm.v1.executor.uniproc_executor.UniProcExecutor"

_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    **MARKED_ENVIRONMENT,
}
_TERMINATE_S = 40.0  # from SIGTERM to SIGKILL
_LINGER_S = 5.0  # for what has to notice that the launcher is gone
_KILL_S = 10.0
_POLL_S = 0.1
_TAIL_LINES = 25


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


class StackFailed(Exception):
    """A stack did not start, or did not go; the message says why and ends with its log."""


@dataclass(frozen=True)
class Launch:
    """What to start."""

    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)


Launcher = Callable[[Setup, int, Path], Launch]
"""How to serve a setup at a port; may write files into the given directory."""


def vllm(setup: Setup, port: int, _: Path) -> Launch:
    """`vllm serve`."""
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(setup.directory), "--served-model-name", setup.model]
    return Launch([*command, "--host", HOST, "--port", str(port), *flags(setup.engine_args)])


def sluice(setup: Setup, port: int, directory: Path) -> Launch:
    """Sluice, with one replica of everything."""
    model = {
        "name": setup.model,
        "source": str(setup.directory),
        "engine_args": dict(setup.engine_args),
    }
    file = directory / "sluice.yaml"
    file.write_text(yaml.safe_dump({"http": {"host": HOST, "port": port}, "models": [model]}))
    # Else the same two on every start, so that no two could be up on one machine.
    names = ("RAY_SERVE_HAPROXY_METRICS_PORT", "RAY_SERVE_HAPROXY_STATS_PORT")
    return Launch(
        [sys.executable, "-m", "serve_app", "--config", str(file)],
        {name: str(port) for name, port in zip(names, free_ports(2), strict=True)},
    )


def flags(engine_args: Mapping[str, Any]) -> list[str]:
    """Engine arguments as vLLM's command line takes them."""
    words = []
    for name, value in engine_args.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            words += [f"--{flag}", text]
    return words


def with_executor(launcher: Launcher, executor: str) -> Launcher:
    """The same stack under another executor, to compare two stacks on one engine."""

    def launch(setup: Setup, port: int, directory: Path) -> Launch:
        args = {**setup.engine_args, "distributed_executor_backend": executor}
        return launcher(replace(setup, engine_args=args), port, directory)

    return launch


STACKS: Mapping[str, Launcher] = {
    "vllm": vllm,  # its own default executor: mp
    "vllm-uniproc": with_executor(vllm, UNIPROC),
    "sluice": sluice,  # its own default executor on a CPU: uniproc
    "sluice-mp": with_executor(sluice, "mp"),
}


class Server:
    """One started stack. Use `running`, which also stops it."""

    def __init__(self, name: str, setup: Setup, directory: Path) -> None:
        self.name = name
        (self.port,) = free_ports(1)
        self.url = f"http://{HOST}:{self.port}"
        self.leftovers: list[str] = []
        """What had to be killed when the launcher was gone."""
        self.ready_after_s = 0.0
        self._model = setup.model
        mark = uuid.uuid4().hex
        self.tree = Tree(mark)
        self._log = directory / f"{name}.log"
        directory.mkdir(parents=True, exist_ok=True)
        launch = STACKS[name](setup, self.port, directory)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                launch.command,
                cwd=ROOT,
                env={
                    **os.environ,
                    **_ENVIRONMENT,
                    **launch.environment,
                    **setup.environment,
                    MARK: mark,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C at the terminal is for us alone
            )

    def wait_until_ready(self, timeout_s: float) -> None:
        """Wait for the model to be listed and to answer. Raises StackFailed."""
        began = time.monotonic()
        trouble: str | None = "no time to start"
        while time.monotonic() - began < timeout_s:
            if self._process.poll() is not None:
                raise self._failed(f"exited with {self._process.returncode} while starting")
            trouble = _trouble(self.port, self._model)
            if trouble is None:
                self.ready_after_s = time.monotonic() - began
                return
            time.sleep(_POLL_S)
        raise self._failed(f"was not ready after {timeout_s:.0f} s: {trouble}")

    def stop(self) -> None:
        """SIGTERM to the launcher; SIGKILL to what is left. Raises StackFailed if some stay."""
        self.tree.members()  # while the parents live
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_TERMINATE_S)
        self._wait_for_none(_LINGER_S)
        self.leftovers = sorted(_name(process) for process in self.tree.members())
        deadline = time.monotonic() + _KILL_S
        while (alive := self.tree.members()) and time.monotonic() < deadline:
            for process in alive:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            self._wait_for_none(_POLL_S)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_S)
        if alive:
            raise self._failed(f"cannot be killed: {sorted(map(_name, alive))}")

    def _wait_for_none(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self.tree.members() and time.monotonic() < deadline:
            time.sleep(_POLL_S)

    def _failed(self, what: str) -> StackFailed:
        lines = self._log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return StackFailed("\n".join([f"{self.name} {what}; its log ends with:", *lines]))


@contextlib.contextmanager
def running(name: str, setup: Setup, directory: Path) -> Iterator[Server]:
    """A stack that is ready, and gone afterwards however this ends. Raises StackFailed."""
    server = Server(name, setup, directory)
    try:
        server.wait_until_ready(setup.start_timeout_s)
        yield server
    finally:
        server.stop()


def free_ports(count: int) -> list[int]:
    """Different ports of this host that nobody has bound at this moment."""
    with contextlib.ExitStack() as probes:
        ports = []
        for _ in range(count):
            probe = probes.enter_context(socket.socket())
            probe.bind((HOST, 0))
            ports.append(probe.getsockname()[1])
        return ports


def _trouble(port: int, model: str) -> str | None:
    """Why the model is not listed or does not answer: it may be listed before its engine is up."""
    # Not a prompt of a token or two: in bfloat16 on a CPU with AMX, vLLM 0.32's engine dies of
    # SIGILL when that is its first, as nothing has asked the kernel for AMX by then.
    one_token = json.dumps({"model": model, "prompt": [1] * 64, "max_tokens": 1})
    trouble = _refusal(port, "GET", "/v1/models")
    return trouble or _refusal(port, "POST", "/v1/completions", one_token)


def _refusal(port: int, method: str, path: str, body: str | None = None) -> str | None:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status == 200:
            return None
        return f"{path} answers {response.status} {response.read(300).decode(errors='replace')}"
    except (OSError, http.client.HTTPException) as exc:
        return f"{path}: {exc!r}"
    finally:
        connection.close()


def _name(process: psutil.Process) -> str:
    try:
        return label_of(process.cmdline(), process.name())
    except psutil.Error:
        return str(process.pid)
