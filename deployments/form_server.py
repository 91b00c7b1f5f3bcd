"""Tries forms out, each in a process that can be killed: the other end of `deployments.forms`.

A program whose standard input is a socket. It has xgrammar in memory once, and forks itself for
each trial. The child has so much CPU time and so much memory, and dies of more; if it dies of
anything, its form is refused. When the socket closes, however its other end has ended, this ends.
"""

import gc
import os
import resource
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from typing import NoReturn

import msgspec

from deployments.messages import StructuredOutputs

TOO_LARGE = "it takes too much memory"
STARVED_S = 10.0
"""A child that has not used up its CPU time for so long has not got it; it dies, too."""
_LENGTH_BYTES = 4
_MAX_REASON_CHARS = 300


class Try(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A form to try out."""

    id: int
    form: StructuredOutputs


class Verdict(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """What came of it."""

    id: int
    reason: str | None
    """Why text cannot be held to it; None: it can."""
    settled: bool = True
    """Whether that would come of it again."""


class _Child:
    """A trial under way."""

    def __init__(self, id: int, pid: int, results: int) -> None:  # noqa: A002
        self.id = id
        self.pid = pid
        self.results = results
        """Where it says what it has found, and closes when it ends."""
        self.said = b""


class Server:
    """Reads what is to be tried, and answers as children end.

    `find_fault` says why text cannot be held to a form, if it cannot; it may do anything.
    """

    def __init__(
        self,
        control: socket.socket,
        find_fault: Callable[[StructuredOutputs], str | None],
        *,
        cpu_s: float,
        memory_bytes: int,
    ) -> None:
        self._find_fault = find_fault
        self._control = control
        self._cpu_s = cpu_s
        self._memory_bytes = memory_bytes
        self._received = bytearray()
        self._children: dict[int, _Child] = {}
        """By the descriptor of their results."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)

    def run(self) -> None:
        """Until the socket closes."""
        open_ = True
        while open_:
            for key, _ in self._selector.select():
                if key.fileobj is self._control:
                    open_ = self._take()
                else:
                    self._hear(self._children[key.fd])
        for child in self._children.values():
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)  # nobody else may be there to do so

    def _take(self) -> bool:
        """Whether the socket is still open."""
        data = self._control.recv(1 << 20)
        received = self._received
        received += data
        while len(received) >= _LENGTH_BYTES:
            end = _LENGTH_BYTES + int.from_bytes(received[:_LENGTH_BYTES], "little")
            if len(received) < end:
                break
            task = msgspec.msgpack.decode(received[_LENGTH_BYTES:end], type=Try)
            del received[:end]
            self._start(task)
        return bool(data)

    def _start(self, task: Try) -> None:
        results, said = os.pipe()
        pid = os.fork()
        if not pid:
            self._be_child(task, said)
        os.close(said)
        self._children[results] = _Child(task.id, pid, results)
        self._selector.register(results, selectors.EVENT_READ)

    def _be_child(self, task: Try, said: int) -> NoReturn:
        reason: str | None = "it cannot be made ready"
        try:
            self._control.close()
            self._limit()
            reason = self._find_fault(task.form)
        except MemoryError:
            reason = TOO_LARGE
        finally:
            os.write(said, b"." + (reason or "")[:_MAX_REASON_CHARS].encode())
            os._exit(0)

    def _limit(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)  # xgrammar prints warnings
        os.dup2(nowhere, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with open("/proc/self/statm") as file:
            mapped = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + self._memory_bytes,) * 2)
        signal.setitimer(signal.ITIMER_PROF, self._cpu_s)
        signal.setitimer(signal.ITIMER_REAL, STARVED_S)

    def _hear(self, child: _Child) -> None:
        data = os.read(child.results, 4096)
        child.said += data
        if data:
            return
        self._selector.unregister(child.results)
        os.close(child.results)
        del self._children[child.results]
        _, status = os.waitpid(child.pid, 0)
        self._answer(self._verdict(child, status))

    def _verdict(self, child: _Child, status: int) -> Verdict:
        if child.said:
            return Verdict(child.id, child.said[1:].decode() or None)
        died_of = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        if died_of == signal.SIGALRM:
            return Verdict(child.id, "there was no time to try it out", settled=False)
        if died_of == signal.SIGPROF:
            limit = f"{1000 * self._cpu_s:.0f} ms"
            return Verdict(child.id, f"to use it takes more CPU time than the {limit} it may take")
        return Verdict(child.id, "what makes it ready crashes on it")

    def _answer(self, verdict: Verdict) -> None:
        data = msgspec.msgpack.encode(verdict)
        self._control.sendall(len(data).to_bytes(_LENGTH_BYTES, "little") + data)


def serve(
    find_fault: Callable[[StructuredOutputs], str | None], cpu_ms: str, memory_mb: str
) -> None:
    """Serve on standard input."""
    for number in (signal.SIGALRM, signal.SIGPROF):  # what children die of
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who holds the socket says when to end
    control = socket.socket(fileno=0)
    cpu_s, memory_bytes = int(cpu_ms) / 1000, int(memory_mb) << 20
    gc.freeze()  # what is there stays in memory that children share
    Server(control, find_fault, cpu_s=cpu_s, memory_bytes=memory_bytes).run()


def main() -> None:
    """Try forms out as engines would use them."""
    # Here, because it takes seconds: who only needs the messages does not wait for it.
    from deployments.form_trial import Trial

    serve(Trial().find_fault, *sys.argv[1:])


if __name__ == "__main__":
    main()
