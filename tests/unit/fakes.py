"""What the unit tests put in the place of a clock, an engine and Serve's deployment handle."""

import asyncio
import itertools
import math
import time
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from deployments import directory
from deployments.directory import Replica
from deployments.engine_server import EngineServer
from deployments.messages import Delta, Load, Logprob, Sampling, Sequence
from deployments.progress import Progress

SECRET = "open sesame"
FACTS: dict[str, Any] = {
    "max_model_len": 512,
    "block_size": 16,
    "max_num_seqs": 8,
    "kv_cache_tokens": 4096,
    "max_num_batched_tokens": 1024,
    "default_sampling": {},
    "supported_tasks": ["generate"],
    "pooling": None,
}
"""What a replica says of its engine, as deployments.vllm_facts.EngineFacts has it."""


async def until(condition: Callable[[], object], what: str = "", within_s: float = 5.0) -> None:
    """Let the event loop run until `condition` holds; fail after `within_s`."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what or 'the condition holds'}")
        # What is waited for has no event of its own: a socket's other end, a beat, a task's end.
        await asyncio.sleep(0.001)


class FakeClock:
    """A monotonic clock that moves only by `advance`."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class FakeEngine:
    """The `Engine` of deployments.engine_server, scripted by the test.

    Give `on_step` to it (`serving` does), then say what happens with `step` and `finish`. With
    `echo=N` it needs no script: each sequence gets N tokens ("w0 ", "w1 ", ...) or its `max_tokens`
    if that is less, one in each turn of the event loop, the last with its `finish_reason`. One that
    another engine has begun goes on behind what that one said.
    """

    def __init__(self, *, echo: int | None = None, now: Callable[[], float] = time.monotonic):
        self.on_step: Callable[[dict[Hashable, list[Delta]], float], None] = lambda *_: None
        self.echo = echo
        self.speaks_until = math.inf
        """After so many tokens of a sequence it says no more of it, until `resume`."""
        self.running: dict[tuple[Hashable, int], Sequence] = {}
        """What has been submitted and not ended, by owner and sequence id, oldest first."""
        self.submitted: list[tuple[Hashable, Sequence]] = []
        self.aborted: list[tuple[Hashable, int]] = []
        """Sequences that were under way when they were aborted."""
        self.abort_calls: list[list[int]] = []
        self.lost: list[Hashable] = []
        """The owners of whom everything was aborted."""
        self.load_figures: Load | None = None
        """What `load` says; None counts what runs."""
        self.refuse: Callable[[Sequence], Exception | None] = lambda _: None
        """Why `submit` takes a sequence not."""
        self.vector: Callable[[Sequence], bytes] | None = None
        """What it makes of an input that is pooled, each in a step of its own."""
        self.abort_error: Exception | None = None
        self.gate = asyncio.Event()
        """While it is clear, `submit` does not return once it has taken a sequence."""
        self.gate.set()
        self.canaries = 0
        self.canary_gate = asyncio.Event()
        """While it is clear, no canary comes back."""
        self.canary_gate.set()
        self.canary_error: Exception | None = None
        self.last_progress = now()
        self._now = now
        self._spoken: dict[tuple[Hashable, int], int] = {}
        self._speaking = False

    @property
    def unfinished(self) -> int:
        return len(self.running)

    def load(self) -> Load:
        return self.load_figures or Load(running=len(self.running))

    async def submit(self, owner: Hashable, sequence: Sequence) -> None:
        error = self.refuse(sequence)
        if error is not None:
            raise error
        self.submitted.append((owner, sequence))
        self.running[owner, sequence.id] = sequence
        if self.echo is not None:
            self._spoken[owner, sequence.id] = len(sequence.emitted_token_ids)
            self._speak_soon()
        if self.vector is not None:
            delta = Delta(sequence.id, "", [], "stop", vector=self.vector(sequence))
            asyncio.get_running_loop().call_soon(self.step, {owner: [delta]})
        await self.gate.wait()

    async def abort(self, owner: Hashable, ids: list[int]) -> None:
        if self.abort_error is not None:
            raise self.abort_error
        self.abort_calls.append(list(ids))
        self._abort(owner, ids)

    async def abort_all(self, owner: Hashable) -> None:
        self.lost.append(owner)
        self._abort(owner, [i for who, i in self.running if who is owner])

    async def canary(self) -> None:
        self.canaries += 1
        if self.canary_error is not None:
            raise self.canary_error
        await self.canary_gate.wait()
        self.last_progress = self._now()

    def step(self, batches: dict[Hashable, list[Delta]], made_at: float | None = None) -> None:
        """One engine step with these deltas; those with a finish reason end their sequences."""
        self.last_progress = self._now()
        for owner, deltas in batches.items():
            for delta in deltas:
                if delta.finish_reason is not None:
                    self.running.pop((owner, delta.id), None)
                    self._spoken.pop((owner, delta.id), None)
        self.on_step(batches, self._now() if made_at is None else made_at)

    def say(self, owner: Hashable, sequence_id: int, text: str) -> None:
        """One step that gives one sequence one token."""
        self.step({owner: [Delta(sequence_id, text, [7])]})

    def finish(
        self, owner: Hashable, sequence_id: int, text: str = "", reason: str = "stop"
    ) -> None:
        """One step that ends one sequence, with `text` as its last token."""
        self.step({owner: [Delta(sequence_id, text, [7], reason)]})

    def finish_all(self, text: str = "") -> None:
        """One step that ends everything, with `text` as each one's last token."""
        batches: dict[Hashable, list[Delta]] = {}
        for owner, sequence_id in self.running:
            batches.setdefault(owner, []).append(Delta(sequence_id, text, [7], "stop"))
        self.step(batches)

    def resume(self) -> None:
        """Say the rest."""
        self.speaks_until = math.inf
        self._speak_soon()

    async def next_submitted(self, count: int = 1) -> tuple[Hashable, Sequence]:
        """Wait until `count` sequences have been submitted in all; returns that one."""
        await until(lambda: len(self.submitted) >= count, f"{count} sequences are submitted")
        return self.submitted[count - 1]

    def _abort(self, owner: Hashable, ids: list[int]) -> None:
        for i in ids:
            if self.running.pop((owner, i), None) is not None:
                self.aborted.append((owner, i))
            self._spoken.pop((owner, i), None)

    def _speak_soon(self) -> None:
        if not self._speaking:
            self._speaking = True
            asyncio.get_running_loop().call_soon(self._speak)

    def _speak(self) -> None:
        self._speaking = False
        batches: dict[Hashable, list[Delta]] = {}
        for (owner, sequence_id), spoken in self._spoken.items():
            if spoken < self.speaks_until:
                delta = self._word(sequence_id, self.running[owner, sequence_id].sampling, spoken)
                batches.setdefault(owner, []).append(delta)
        for owner, deltas in batches.items():
            for delta in deltas:
                self._spoken[owner, delta.id] += 1
        if batches:
            self.step(batches)
            self._speak_soon()

    def _word(self, sequence_id: int, sampling: Sampling, spoken: int) -> Delta:
        assert self.echo is not None
        text = f"w{spoken} "
        delta = Delta(sequence_id, text, [spoken])
        if spoken + 1 >= min(self.echo, sampling.max_tokens):
            delta.finish_reason = "stop" if spoken + 1 >= self.echo else "length"
        if sampling.logprobs is not None:
            candidates = range(1 + sampling.logprobs)
            delta.logprobs = [[Logprob(spoken + i, -0.5 * (i + 1), text) for i in candidates]]
        return delta


@dataclass(frozen=True)
class Serving:
    """An engine behind a real EngineServer on the loopback interface."""

    engine: FakeEngine
    server: EngineServer
    replica: Replica
    """What a router must know to connect."""

    async def die(self) -> None:
        """End as a process does that is killed: nothing that is still unsent is sent."""
        for router in self.server._connections:
            router.abort()
        await self.server.close()


_replicas = itertools.count()


@asynccontextmanager
async def serving(
    engine: FakeEngine | None = None,
    *,
    now: Callable[[], float] = time.monotonic,
    progress: Progress | None = None,
) -> AsyncIterator[Serving]:
    """Serve `engine`, or a new one, to routers that connect to `replica`."""
    engine = engine or FakeEngine(now=now)
    server = EngineServer(engine, SECRET, progress=progress, now=now)
    engine.on_step = server.on_step
    port = await server.listen("127.0.0.1")
    replica = Replica(f"replica-{next(_replicas)}", "127.0.0.1", port, SECRET, dict(FACTS))
    try:
        yield Serving(engine, server, replica)
    finally:
        await server.close()


class FakeHandle:
    """What Router needs of a DeploymentHandle: give it as `engines={"model": handle}`.

    Each has a deployment name of its own, since the directory is one for the whole process.
    """

    _numbers = itertools.count()

    def __init__(self) -> None:
        self.deployment_name = f"engine-{next(self._numbers)}"
        self.used = False
        """Whether anyone has used it, which is when Serve begins to tell it of replicas."""

    def options(self, **_: Any) -> "FakeHandle":
        self.used = True
        return self

    def publish(self, *replicas: Replica) -> None:
        """Tell the directory that these replicas run, as Serve does."""
        running = [
            (r.id, {"host": r.host, "port": r.port, "secret": r.secret, "facts": r.facts})
            for r in replicas
        ]
        directory.publish(self.deployment_name, running)
