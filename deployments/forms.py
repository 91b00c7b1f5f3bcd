"""Whether text can be held to a form: asked before a request is taken in, and answered at once.

A form that passes here is one that the engine's own xgrammar makes ready in bounded time. The
work is done by a process of its own (form_server.py); here are who goes first, and what has been
found already.
"""

import asyncio
import hashlib
import itertools
import logging
import os
import socket
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Protocol

import msgspec

from deployments import form_server
from deployments.errors import BadRequest, Overloaded
from deployments.form_server import Try, Verdict
from deployments.messages import StructuredOutputs
from deployments.scheduling.turns import Turns
from deployments.wire import Connection

logger = logging.getLogger(__name__)

AT_ONCE = 2
"""Trials under way."""
WAITING_EACH = 32
"""Forms of one tenant that may wait to be tried."""
REMEMBERED = 8192
PATIENCE_S = 60.0
"""Nobody waits longer, whatever happens."""
_ENDS_WITHIN_S = 0.5
_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 60.0


class Forms(Protocol):
    """Checks forms."""

    async def check(self, form: StructuredOutputs, tenant: str, param: str) -> None:
        """Raises BadRequest for a form that text cannot be held to, or Overloaded.

        `param` names the field that it came from.
        """

    async def close(self) -> None:
        """Check no more."""


class _Trial:
    """A form on its way through the checker, and all requests of its tenant that wait for it."""

    def __init__(self, tenant: str, key: bytes, form: StructuredOutputs) -> None:
        self.tenant = tenant
        self.key = key
        self.form = form
        self.verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self.awaited = 0
        """By so many requests."""


class FormChecker:
    """Tries forms out, fairly between tenants, and remembers what came of it.

    A form that is known costs nothing. A tenant's forms are tried one after the other, and tenants
    take turns. Everything happens on one event loop.
    """

    def __init__(self, *, cpu_ms: int, memory_mb: int, program: str = form_server.__name__) -> None:
        self._command = [sys.executable, "-m", program, str(cpu_ms), str(memory_mb)]
        self._cpu_s = cpu_ms / 1000
        self._turns: Turns[_Trial] = Turns(at_once=AT_ONCE, waiting_each=WAITING_EACH)
        self._known: OrderedDict[bytes, str | None] = OrderedDict()
        """Why forms were refused, or None: they were not. Who was asked for last is last."""
        self._trials: dict[tuple[str, bytes], _Trial] = {}
        self._under_way: dict[int, _Trial] = {}
        self._ids = itertools.count()
        self._connection: Connection[Verdict] | None = None
        self._running: asyncio.Task[None] | None = None
        self._again_s = _FIRST_RETRY_S

    def start(self) -> None:
        """Start the process, unless it runs; it takes seconds, and whoever asks waits for it."""
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())

    async def check(self, form: StructuredOutputs, tenant: str, param: str) -> None:
        key = _digest(form)
        if key in self._known:
            self._known.move_to_end(key)
            reason = self._known[key]
        else:
            reason = await self._find_out(form, tenant, key)
        if reason is not None:
            raise BadRequest(f"No text can be held to '{param}': {reason}.", param=param)

    async def close(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _find_out(self, form: StructuredOutputs, tenant: str, key: bytes) -> str | None:
        trial = self._trials.get((tenant, key)) or self._new_trial(form, tenant, key)
        trial.awaited += 1
        try:
            verdict = await asyncio.wait_for(asyncio.shield(trial.verdict), PATIENCE_S)
        except TimeoutError:
            verdict = Verdict(0, "it was not looked at in time", settled=False)
        finally:
            trial.awaited -= 1
            if not trial.awaited and self._turns.drop(tenant, trial):
                del self._trials[tenant, key]
        if not verdict.settled:
            raise Overloaded(f"What the answer has to look like: {verdict.reason}. Try again.")
        return verdict.reason

    def _new_trial(self, form: StructuredOutputs, tenant: str, key: bytes) -> _Trial:
        trial = _Trial(tenant, key, form)
        if not self._turns.add(tenant, trial):
            waiting = self._turns.waiting(tenant)
            raise Overloaded(
                f"{waiting} forms of yours are waiting to be checked. Try again later.",
                retry_after_s=waiting * self._cpu_s / 2,
            )
        self._trials[tenant, key] = trial
        self.start()
        self._pump()
        return trial

    def _pump(self) -> None:
        """Have tried whatever may be tried now."""
        while self._connection is not None and (trial := self._turns.next()) is not None:
            if trial.key in self._known:  # another tenant has asked meanwhile
                self._settle(trial, Verdict(0, self._known[trial.key]))
                continue
            number = next(self._ids)
            self._under_way[number] = trial
            self._connection.send(Try(number, trial.form))

    def _settle(self, trial: _Trial, verdict: Verdict) -> None:
        self._turns.done(trial.tenant)
        del self._trials[trial.tenant, trial.key]
        if verdict.settled:
            self._known[trial.key] = verdict.reason
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        trial.verdict.set_result(verdict)

    async def _run(self) -> None:
        """Have a process that lives, and another one when it does not."""
        while True:
            await self._live()
            logger.error("The process that checks forms has ended; another is started.")
            await asyncio.sleep(self._again_s)
            self._again_s = min(2 * self._again_s, _LAST_RETRY_S)

    async def _live(self) -> None:
        """One process, from its start to its end."""
        lost = asyncio.Event()
        ours, theirs = socket.socketpair()
        # This takes a millisecond or two: until it is another program, the child shares our memory.
        process = subprocess.Popen(  # noqa: S603, ASYNC220  our own module, our own interpreter
            self._command, stdin=theirs.fileno(), env=_environment(), start_new_session=True
        )
        theirs.close()
        try:
            _, self._connection = await asyncio.get_running_loop().create_unix_connection(
                lambda: Connection[Verdict](Verdict, self._on_verdict, lambda _: lost.set()),
                sock=ours,
            )
            self._pump()
            await lost.wait()
        finally:
            if self._connection is not None:
                self._connection.abort()
                self._connection = None
            self._give_up()
            await asyncio.to_thread(_end, process)

    def _on_verdict(self, _: Connection[Verdict], verdict: Verdict) -> None:
        self._again_s = _FIRST_RETRY_S
        self._settle(self._under_way.pop(verdict.id), verdict)
        self._pump()

    def _give_up(self) -> None:
        """Let nobody wait for a process that is gone."""
        gone = Verdict(0, "what checks it was lost", settled=False)
        under_way, self._under_way = self._under_way, {}
        for trial in under_way.values():
            self._settle(trial, gone)
        while (waiting := self._turns.next()) is not None:
            self._settle(waiting, gone)


def _end(process: subprocess.Popen[bytes]) -> None:
    """It sees that the socket is closed, and ends what it has begun; unless it is starting yet."""
    try:
        process.wait(_ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _environment() -> dict[str, str]:
    """The process finds our modules, and xgrammar's libraries start no threads in it: no fork would
    take them along."""
    roots = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = dict.fromkeys(("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(roots)}


def _digest(form: StructuredOutputs) -> bytes:
    return hashlib.blake2b(msgspec.msgpack.encode(form), digest_size=16).digest()
