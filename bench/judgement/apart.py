"""Runs a module of the measuring side as a process of its own.

Its cost is then known to be nobody else's, and it can go before everything else on the machine.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from bench.client import go_first
from bench.driving import ClientFailed
from bench.launching import ROOT
from bench.stats import to_json

_STARTS_S = 60.0


class Apart:
    """A module that reads one line of JSON and writes some. `result` waits for its end."""

    def __init__(self, module: str, given: Mapping[str, Any]) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # then `result` says why
            self._process.stdin.write(to_json(given))
            self._process.stdin.close()
        self._process.stdin = None

    def result(self, timeout_s: float) -> list[dict[str, Any]]:
        """What it wrote. Raises ClientFailed."""
        try:
            out, err = self._process.communicate(timeout=timeout_s + _STARTS_S)
        except subprocess.TimeoutExpired as exc:
            raise ClientFailed(f"{self._module} did not end in its own time") from exc
        finally:
            self._process.kill()
            self._process.wait()
        if self._process.returncode != 0:
            raise ClientFailed(f"{self._module}: {err.strip()[-500:]}")
        return [json.loads(line) for line in out.splitlines()]


def serve_parent(run: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> None:
    """The other end of `Apart`: one line in, `run`, its answer out."""
    given = json.loads(sys.stdin.read())
    go_first()
    for line in run(given):
        print(to_json(line))
