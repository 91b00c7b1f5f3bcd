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


class Reaper:
    """Held by the owner. Whatever the owner starts from now on inherits the mark."""

    def __init__(self) -> None:
        self.mark = MARK_PREFIX + uuid.uuid4().hex
        os.environ[self.mark] = "1"
        # vLLM and Ray name their processes with setproctitle, which takes the memory where the
        # kernel finds a process's environment, unless it is told not to.
        os.environ["SPT_NOENV"] = "1"
        self._process = subprocess.Popen(  # noqa: S603  our own file, our own interpreter
            [sys.executable, "-S", "-E", __file__, self.mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={},
            start_new_session=True,  # a Ctrl-C at the terminal is not for the reaper
        )

    def sweep(self) -> None:
        """Kill what is left of the owner's processes, and wait until it is gone."""
        pipe: IO[bytes] | None = self._process.stdin
        if pipe is not None and not pipe.closed:
            pipe.close()
        self._process.wait(_GIVE_UP_S)


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


def main(mark: str) -> None:
    """Wait for the pipe to close, then kill until nothing that is marked lives."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1):
        pass
    deadline = time.monotonic() + _GIVE_UP_S
    while (pids := marked(mark)) and time.monotonic() < deadline:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)


if __name__ == "__main__":
    main(sys.argv[1])
