"""Our own engine on vLLM's CPU build, in a process of its own; see `EngineProcess`.

Run as a program with the engine arguments: for each `Round` on standard input, a line of JSON, it
answers with one line.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import msgspec

from deployments import default_model, engine_args
from deployments.errors import BadRequest
from deployments.messages import Delta, Sequence
from tests.support import models
from tests.support.server import ROOT

OWNER = "the only router"


class Round(msgspec.Struct):
    """Sequences that are submitted at once, under ids of their own."""

    sequences: list[Sequence]
    abort: bool = False
    """Abort all of them as soon as they are submitted."""


class Answer(msgspec.Struct):
    """The deltas of each sequence of a round, in its order."""

    deltas: list[list[Delta]]
    unfinished: int
    """What the engine still counts as under way."""
    begun: list[int]
    """Which of them began, in that order."""


class EngineProcess:
    """A running engine; `ask` it anything."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: BinaryIO) -> None:
        self._process, self._log = process, log

    def ask(self, sequences: list[Sequence], *, abort: bool = False) -> Answer:
        """Have the engine work on all of them at once."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(Round(sequences, abort)) + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self._end_of_log()
        return msgspec.json.decode(line, type=Answer)

    def _end_of_log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-6000:]


@contextmanager
def engine(**args: Any) -> Iterator[EngineProcess]:
    """An engine of the small model with `args`, until the context ends."""
    chosen = engine_args.for_cpu(
        {"model": str(default_model.ensure(models.SMALL)), **models.ENGINE_ARGS, **args}
    )
    with TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.resuming", json.dumps(chosen)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=ROOT,
            env=os.environ | engine_args.cpu_environment(1),
            start_new_session=True,
        )
        try:
            yield EngineProcess(process, log)
        finally:
            # Its engine core too, which takes seconds to end by itself.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


class _Program:
    """The engine's side: gathers deltas by sequence."""

    def __init__(self, args: dict[str, Any]) -> None:
        from deployments.vllm_engine import VllmEngine

        self.engine = VllmEngine(args)
        self._ids = count()
        self._deltas: dict[int, list[Delta]] = {}
        self._begun: list[int] = []
        self._ended: dict[int, asyncio.Event] = {}

    def on_step(self, batches: dict[Hashable, list[Delta]], _made_at: float) -> None:
        for delta in batches.get(OWNER, []):
            if not self._deltas[delta.id]:
                self._begun.append(delta.id)
            self._deltas[delta.id].append(delta)
            if delta.finish_reason is not None:
                self._ended[delta.id].set()

    def on_death(self, exc: Exception) -> None:
        os._exit(1)

    async def answer(self, task: Round) -> Answer:
        sequences = [msgspec.structs.replace(each, id=next(self._ids)) for each in task.sequences]
        ids = [each.id for each in sequences]
        self._deltas = {i: [] for i in ids}
        self._ended = {i: asyncio.Event() for i in ids}
        self._begun = []
        if task.abort:
            starting = [self.engine.submit(OWNER, each) for each in sequences]
            await self.engine.abort(OWNER, ids)
            await asyncio.gather(*starting)
            await self.engine.canary()
        else:
            await asyncio.gather(*map(self._submit, sequences))
            await asyncio.gather(*(event.wait() for event in self._ended.values()))
        begun = [ids.index(i) for i in self._begun]
        return Answer([self._deltas[i] for i in ids], self.engine.unfinished, begun)

    async def _submit(self, sequence: Sequence) -> None:
        try:
            await self.engine.submit(OWNER, sequence)
        except BadRequest as exc:
            refusal = Delta(sequence.id, "", [], "error", error=exc.message, bad_request=True)
            self.on_step({OWNER: [refusal]}, 0.0)


async def _main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what anything else prints
    program = _Program(json.loads(sys.argv[1]))
    await program.engine.start(program.on_step, program.on_death)
    while line := await asyncio.to_thread(sys.stdin.buffer.readline):
        answer = await program.answer(msgspec.json.decode(line, type=Round))
        answers.write(msgspec.json.encode(answer) + b"\n")
        answers.flush()


if __name__ == "__main__":
    asyncio.run(_main())
