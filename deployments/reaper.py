"""Nothing that a process starts outlives it.

A killed process cannot clean up after itself: vLLM's engine core and workers go on without their
parent, and HAProxy without Ray. So an engine replica, and the launcher, starts this module as a
process of its own, which waits at a pipe. The pipe closes when its owner ends, however it ends;
then every process that carries the owner's mark in its environment is killed, and the reaper goes.

Standard library only, and run by path: it starts in milliseconds and stays small.
"""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import IO

MARK_PREFIX = "SLUICE_MARK_"
"""Each owner's mark is an environment variable of its own, so that marks add up downwards."""
_GIVE_UP_S = 10.0
_LOOKS = 3
"""A process is not seen while it becomes another program, so one look proves nothing."""
_NOT_FOR_THE_REAPER = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class Reaper:
    """Held by the owner. Whatever the owner starts from now on inherits the mark."""

    def __init__(self) -> None:
        self.mark = MARK_PREFIX + uuid.uuid4().hex
        os.environ[self.mark] = "1"
        # vLLM and Ray name their processes with setproctitle, which takes the memory where the
        # kernel finds a process's environment, unless it is told not to.
        os.environ["SPT_NOENV"] = "1"
        # The reaper inherits what is blocked, and so is deaf from its first moment on.
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_FOR_THE_REAPER)
        try:
            self._process = subprocess.Popen(  # noqa: S603  our own file, our own interpreter
                [sys.executable, "-S", "-E", __file__, self.mark],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env={},
                start_new_session=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)

    def sweep(self) -> None:
        """Kill what is left of the owner's processes, and wait until it is gone."""
        pipe: IO[bytes] | None = self._process.stdin
        if pipe is not None and not pipe.closed:
            pipe.close()
        if self._process.wait(2 * _GIVE_UP_S) != 0:  # someone killed the reaper
            kill_all(self.mark)


def marked(mark: str) -> list[int]:
    """The pids of living processes that carry `mark` and are not this one."""
    wanted = f"{mark}=1".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # gone meanwhile, or not ours to read
            continue
        if state != "Z" and wanted in environment.split(b"\0"):
            found.append(int(entry.name))
    return found


def kill_all(mark: str) -> None:
    """Kill until nothing that carries `mark` lives, or for `_GIVE_UP_S`."""
    deadline = time.monotonic() + _GIVE_UP_S
    looks = 0
    while looks < _LOOKS and time.monotonic() < deadline:
        pids = marked(mark)
        looks = 0 if pids else looks + 1
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)


def main(mark: str) -> None:
    """Wait for the pipe to close, then kill until nothing that is marked lives."""
    while os.read(0, 1):
        pass
    kill_all(mark)


if __name__ == "__main__":
    main(sys.argv[1])
