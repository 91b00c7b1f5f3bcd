"""One started stack: given loads, and nothing of it left when it stops."""

import contextlib
import http.client
import json
import os
import select
import shutil
import subprocess
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import ClassVar

import psutil

from bench.client import Load, LoadResult
from bench.driving import ClientFailed, run_client
from bench.launching import HOST, ROOT, Launch, Setup
from bench.processes import MARK, MARKED_ENVIRONMENT, Tree, label_of
from bench.stats import to_json

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
_SAMPLE_S = 1.0
_LATE_S = 30.0  # beyond a load's own time
_TAIL_LINES = 25
# Not of a token or two: in bfloat16 on a CPU with AMX, vLLM 0.32's engine dies of SIGILL when
# that is its first prompt, as nothing has asked the kernel for AMX by then.
_PROBE_LEN = 64


class StackFailed(Exception):
    """A stack did not start, or did not go; the message says why and ends with its log."""


class Server(ABC):
    """One started stack. Use `running`, which also stops it."""

    url: str | None = None
    """Where it speaks HTTP, if it does."""
    _piped: ClassVar[bool] = False
    """Whether it reads and writes lines instead."""

    def __init__(self, name: str, setup: Setup, launch: Launch, directory: Path) -> None:
        self.name = name
        self.leftovers: list[str] = []
        """What had to be killed when the launcher was gone."""
        self.ready_after_s = 0.0
        self._model = setup.model
        mark = uuid.uuid4().hex
        self.tree = Tree(mark)
        self._log = directory / f"{name}.log"
        self._scratch = launch.scratch
        environment = {**_ENVIRONMENT, **launch.environment, **setup.environment, MARK: mark}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                launch.command,
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE if self._piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if self._piped else log,
                stderr=log,
                text=True,
                start_new_session=True,  # a Ctrl-C at the terminal is for us alone
            )

    @abstractmethod
    def run(self, load: Load, tick: Callable[[], None] = lambda: None) -> LoadResult:
        """`load` on this stack; `tick` is called now and then. Raises ClientFailed."""

    @abstractmethod
    def _trouble(self) -> str | None:
        """Why it does not serve yet."""

    def wait_until_ready(self, timeout_s: float) -> None:
        """Wait until it has answered a first request. Raises StackFailed."""
        began = time.monotonic()
        trouble: str | None = "no time to start"
        while time.monotonic() - began < timeout_s:
            if self._process.poll() is not None:
                raise self._failed(f"exited with {self._process.returncode} while starting")
            trouble = self._trouble()
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
        for pipe in filter(None, (self._process.stdin, self._process.stdout)):
            with contextlib.suppress(BrokenPipeError):  # of a load that it did not take
                pipe.close()
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
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
        if alive:
            raise self._failed(f"cannot be killed: {sorted(map(_name, alive))}")

    def _wait_for_none(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self.tree.members() and time.monotonic() < deadline:
            time.sleep(_POLL_S)

    def _failed(self, what: str) -> StackFailed:
        lines = self._log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return StackFailed("\n".join([f"{self.name} {what}; its log ends with:", *lines]))


class OverHttp(Server):
    """A stack that serves at a port."""

    def __init__(self, name: str, setup: Setup, launch: Launch, directory: Path, port: int) -> None:
        self._port = port
        self.url = f"http://{HOST}:{port}"
        super().__init__(name, setup, launch, directory)

    def run(self, load: Load, tick: Callable[[], None] = lambda: None) -> LoadResult:
        return run_client(replace(load, url=f"http://{HOST}:{self._port}"), tick)

    def _trouble(self) -> str | None:
        # The model may be listed before its engine is up.
        body = {"model": self._model, "prompt": [1] * _PROBE_LEN, "max_tokens": 1}
        listed = self._refusal("GET", "/v1/models")
        return listed or self._refusal("POST", "/v1/completions", json.dumps(body))

    def _refusal(self, method: str, path: str, body: str | None = None) -> str | None:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=10)
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


class OverPipes(Server):
    """A stack that is given loads as lines, and answers each with one line."""

    _piped = True

    def __init__(self, name: str, setup: Setup, launch: Launch, directory: Path) -> None:
        super().__init__(name, setup, launch, directory)
        # Answered when there is an engine.
        probe = Load(url="", model=setup.model, num_requests=1, input_len=_PROBE_LEN, output_len=1)
        self._send(replace(probe, vocab=2))

    def run(self, load: Load, tick: Callable[[], None] = lambda: None) -> LoadResult:
        try:
            self._send(load)
            for _ in range(int((load.timeout_s + _LATE_S) / _SAMPLE_S)):
                result = self._answer(_SAMPLE_S)
                if result is not None:
                    return result
                tick()
        except EOFError as exc:
            raise ClientFailed(f"{self.name} is gone") from exc
        self._process.kill()  # an answer that came later would be taken for another load's
        raise ClientFailed(f"{self.name} did not end in its own time")

    def _trouble(self) -> str | None:
        try:
            result = self._answer(_SAMPLE_S)
        except EOFError:
            return "it ended"
        if result is not None and result.errors:
            raise self._failed(f"cannot generate: {result.errors}")
        return "no answer yet" if result is None else None

    def _send(self, load: Load) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # then there will be no answer either
            print(to_json(asdict(load)), file=self._process.stdin, flush=True)

    def _answer(self, timeout_s: float) -> LoadResult | None:
        """What came within this time. Raises EOFError when nothing will."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], timeout_s)[0]:
            return None
        line = self._process.stdout.readline()
        if not line:
            raise EOFError
        return LoadResult.from_json(line)


def _name(process: psutil.Process) -> str:
    try:
        return label_of(process.cmdline(), process.name())
    except psutil.Error:
        return str(process.pid)
