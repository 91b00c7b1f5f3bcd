"""A real server in processes of its own, for tests that use it from outside."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import yaml

from deployments.reaper import MARK_PREFIX, marked
from serve_app.environment import any_free_port

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 240.0


def eventually(condition: Callable[[], bool], within_s: float, what: str) -> float:
    """Poll until `condition` holds and return how long it took; fail after `within_s`."""
    start = time.monotonic()
    while time.monotonic() - start < within_s:
        if condition():
            return time.monotonic() - start
        time.sleep(0.05)
    raise AssertionError(f"not within {within_s} s: {what}")


class Server:
    """`command` with its output in a file and a mark on all its processes."""

    def __init__(self, command: Sequence[str], port: int, env: Mapping[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.headers: dict[str, str] = {}
        self.mark = MARK_PREFIX + uuid.uuid4().hex
        self.log = Path(tempfile.mkstemp(prefix="sluice-test-", suffix=".log")[1])
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **env, self.mark: "1"},
            )

    def get(self, path: str) -> httpx.Response:
        """One GET request."""
        return httpx.get(self.url + path, headers=self.headers, timeout=10)

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """One POST request of a JSON body."""
        return httpx.post(
            self.url + path, json=body, headers={**self.headers, **headers}, timeout=60
        )

    def is_ready(self) -> bool:
        """Whether /ready says 200."""
        try:
            return self.get("/ready").status_code == 200
        except httpx.TransportError:
            return False

    def wait_until_ready(self) -> None:
        """Return once every model is served."""

        def ready() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended:\n{self.tail()}")
            return self.is_ready()

        try:
            eventually(ready, START_TIMEOUT_S, "the server is ready")
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.tail()}") from None

    @contextmanager
    def serving(self) -> Iterator["Server"]:
        """Within it the server is ready; behind it, it has been stopped in order."""
        try:
            self.wait_until_ready()
            yield self
            self.stop()
        finally:
            self.kill()

    def engines(self, model: str) -> list[dict[str, Any]]:
        """What /ready says of the engines of `model`."""
        engines: list[dict[str, Any]] = self.get("/ready").json()["models"][model]["engines"]
        return engines

    def tail(self, lines: int = 40) -> str:
        """The end of what the server printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def processes(self) -> list[int]:
        """The pids of everything that the server started and that still lives."""
        return marked(self.mark)

    def stop(self, number: signal.Signals = signal.SIGINT, within_s: float = 40) -> float:
        """Signal the server and wait until all its processes are gone; returns how long."""
        start = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(within_s)
        eventually(lambda: not self.processes(), 15, f"no process of {self.process.args!r} is left")
        return time.monotonic() - start

    def kill(self) -> None:
        """Kill everything that is left, for a test that has failed."""
        for pid in self.processes():
            with suppress(ProcessLookupError):  # it has gone meanwhile
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)


def start(
    config: Mapping[str, Any], *arguments: str, env: Mapping[str, str] | None = None
) -> Server:
    """`python -m serve_app` on `config`, on a free port, with `env` in its environment."""
    port = any_free_port()
    file = Path(tempfile.mkstemp(prefix="sluice-test-", suffix=".yaml")[1])
    file.write_text(yaml.safe_dump({**config, "http": {"port": port}}))
    command = [sys.executable, "-m", "serve_app", "--config", str(file), *arguments]
    return Server(command, port, env or {})
