"""Traffic that does not wait for the server: requests leave when they are due.

Always a process of its own (`start`, then `Traffic.outcomes`). `kept` is the exception to the first
sentence: so many requests are under way at any time, each that ends followed by another.
"""

import asyncio
import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import uvloop

from bench.client import Load
from bench.judgement.apart import Apart, serve_parent
from bench.judgement.exchange import Outcome, Sender, completion_body, post

POISSON, EVEN, KEPT = "poisson", "even", "kept"
_PATH = "/v1/completions"
_AFTER_REFUSAL_S = 1.0  # where the server does not say when to come back


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What leaves when, for `seconds`; then what is under way is waited for."""

    url: str
    model: str
    arrivals: str = POISSON
    rate: float = 1.0
    """Requests a second; when `kept`, how many at once."""
    seconds: float
    input_len: int = 64
    output_len: int = 64
    vocab: int = Load.vocab
    seed: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    patience_s: float = 180.0
    """How long after it was sent a request may end before it counts as lost."""
    retry_every: int = 0
    """Every so manieth refused request is sent once more, after as long as it was told."""

    def load(self) -> Load:
        """Where its requests go, and what they have in common."""
        return Load(
            url=self.url, model=self.model, input_len=self.input_len, output_len=self.output_len
        )

    def due(self) -> list[float]:
        """When each request is due, in seconds after the start."""
        if self.arrivals == EVEN:
            return [number / self.rate for number in range(int(self.seconds * self.rate))]
        draw = random.Random(f"arrivals {self.seed}")
        gaps = (draw.expovariate(self.rate) for _ in itertools.count())
        return list(itertools.takewhile(lambda at: at < self.seconds, itertools.accumulate(gaps)))

    @property
    def longest_s(self) -> float:
        """No traffic takes longer."""
        return self.seconds + 2 * self.patience_s


class Running:
    """Traffic under way in its own process."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._process = Apart("bench.judgement.openloop", asdict(traffic))

    def outcomes(self) -> list[Outcome]:
        """Of every request, when all have ended. Raises ClientFailed."""
        return [Outcome(**line) for line in self._process.result(self._traffic.longest_s)]


def send(traffic: Traffic) -> list[Outcome]:
    """The traffic from its start to its end. Raises ClientFailed."""
    return Running(traffic).outcomes()


def requests(traffic: Traffic, user: int = 0) -> Iterator[bytes]:
    """The traffic's requests in full, without end; another user's are others."""
    draw = random.Random(f"prompts {traffic.seed} of {user}")
    ids, load = range(traffic.vocab), traffic.load()
    while True:
        prompt = draw.choices(ids, k=traffic.input_len)
        yield post(load, _PATH, completion_body(load, prompt), traffic.headers)


class Driver:
    """Sends one traffic."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._outcomes: list[Outcome] = []
        self._refusals = 0

    async def run(self) -> list[Outcome]:
        """Every request's outcome, when all have ended."""
        traffic = self._traffic
        if traffic.arrivals == KEPT:
            await self._keep()
            return self._outcomes
        due = traffic.due()
        # All made before the clock runs.
        made = list(itertools.islice(requests(traffic), len(due)))
        sender = Sender(traffic.load(), traffic.patience_s)
        async with asyncio.TaskGroup() as group:
            for number, (at, request) in enumerate(zip(due, made, strict=True)):
                await asyncio.sleep(at - sender.now)
                group.create_task(self._one(sender, request, number, at))
        sender.close()
        return self._outcomes

    async def _one(self, sender: Sender, request: bytes, number: int, due_at: float) -> None:
        outcome = await sender.send(request, number, due_at)
        self._outcomes.append(outcome)
        if not outcome.refused or not self._traffic.retry_every:
            return
        self._refusals += 1
        if self._refusals % self._traffic.retry_every == 0 and outcome.retry_after_ms is not None:
            again_at = outcome.done_at + outcome.retry_after_ms / 1000
            await asyncio.sleep(again_at - sender.now)
            later = await sender.send(request, number, again_at)
            self._outcomes.append(replace(later, attempt=1))

    async def _keep(self) -> None:
        traffic, numbers = self._traffic, itertools.count()
        sender = Sender(traffic.load(), traffic.patience_s)

        async def user(place: int) -> None:
            for request in requests(traffic, place):
                if sender.now >= traffic.seconds:
                    return
                outcome = await sender.send(request, next(numbers), sender.now)
                self._outcomes.append(outcome)
                if outcome.refused:
                    told = outcome.retry_after_ms
                    await asyncio.sleep(_AFTER_REFUSAL_S if told is None else told / 1000)

        await asyncio.gather(*(user(place) for place in range(int(traffic.rate))))
        sender.close()


def _run(given: dict[str, Any]) -> list[dict[str, Any]]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return [asdict(one) for one in runner.run(Driver(Traffic(**given)).run())]


if __name__ == "__main__":
    serve_parent(_run)
