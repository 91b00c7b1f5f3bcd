"""Many streams while one engine replica after the other is killed."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.judgement.serving import Sluice
from bench.judgement.surgery import Surgeon, patients
from bench.judgement.transcript import Transcript, compare
from bench.judgement.watching import Call, Watcher

HUNG = "hung"
_NOTICED_S = 5.0
_POLL_S = 0.02


@dataclass
class Storm:
    """What became of the streams."""

    streams: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    interrupted: int = 0
    """Sequences that ran on a killed engine, by /ready's word just before."""
    said: list[str] = field(default_factory=list)
    """What was wrong, of each stream that was not the same."""
    replaced_after_s: list[float] = field(default_factory=list)


class Weather:
    """Goes on until so many streams have ended and so many engines have been killed."""

    def __init__(
        self, server: Sluice, watcher: Watcher, *, users: int, streams: int, kills: int, seed: int
    ) -> None:
        self._server = server
        self._watcher = watcher
        self._users = users
        self._streams = streams
        self._kills = kills
        self._draw = random.Random(f"storm {seed}")
        self._storm = Storm()

    async def undisturbed(self, calls: Sequence[Call]) -> list[Transcript]:
        """What each call says when nobody is killed, as many at once as later."""
        gate = asyncio.Semaphore(self._users)

        async def one(call: Call) -> Transcript:
            async with gate:
                return (await self._watcher.call(call))[0]

        return list(await asyncio.gather(*map(one, calls)))

    async def run(self, calls: Sequence[Call], references: Sequence[Transcript]) -> Storm:
        """The storm over these calls, again and again."""
        numbers = itertools.count()
        pairs = list(zip(calls, references, strict=True))

        async def user() -> None:
            while self._storm.kills < self._kills or self._storm.streams < self._streams:
                call, reference = pairs[next(numbers) % len(pairs)]
                transcript, hung = await self._watcher.call(call)
                verdict, said = compare(reference, transcript)
                self._storm.streams += 1
                self._storm.verdicts[HUNG if hung else verdict] += 1
                self._storm.said += [said] if said else []

        async with asyncio.TaskGroup() as group:
            killer = group.create_task(self._kill_again_and_again())
            users = [group.create_task(user()) for _ in range(self._users)]
            await asyncio.wait(users)
            killer.cancel()
        return self._storm

    async def _kill_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(self._draw.uniform(0.5, 2.0))
            before = await asyncio.to_thread(self._server.engines)
            ward = patients(await asyncio.to_thread(self._server.replicas))
            victim = self._draw.choice(ward)
            running = {engine.replica: engine.running for engine in before}
            Surgeon(ward).kill(victim)
            self._storm.kills += 1
            self._storm.interrupted += await self._had(running)
            took = await asyncio.to_thread(
                self._server.wait_until_replaced, {engine.replica for engine in before}
            )
            self._storm.replaced_after_s.append(took)

    async def _had(self, running: dict[str, int]) -> int:
        """How many sequences the replica had that has just gone."""
        for _ in range(int(_NOTICED_S / _POLL_S)):
            engines = await asyncio.to_thread(self._server.engines)
            beating = {engine.replica for engine in engines if engine.beats}
            if engines and (gone := running.keys() - beating):
                return sum(running[replica] for replica in gone)
            await asyncio.sleep(_POLL_S)
        return 0
