"""The load on a stack that speaks HTTP, from a process of its own."""

import contextlib
import subprocess
import sys
from collections.abc import Callable

from bench.client import Load, LoadResult, arguments
from bench.launching import ROOT

_SAMPLE_S = 1.0
_CLIENT_STARTS_S = 30.0


class ClientFailed(Exception):
    """The client brought no result."""


def run_client(load: Load, tick: Callable[[], None] = lambda: None) -> LoadResult:
    """`bench.client` with this load; `tick` is called now and then. Raises ClientFailed."""
    command = [sys.executable, "-m", "bench.client", "--json", *arguments(load)]
    client = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        for _ in range(int((load.timeout_s + _CLIENT_STARTS_S) / _SAMPLE_S)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                out, err = client.communicate(timeout=_SAMPLE_S)
                break
            tick()
        else:
            raise ClientFailed("the client did not end in its own time")
    finally:
        client.kill()
        client.wait()
    if client.returncode != 0:
        raise ClientFailed(err.strip()[-500:])
    return LoadResult.from_json(out.splitlines()[-1])
