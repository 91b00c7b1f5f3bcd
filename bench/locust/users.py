"""Locust's users: those who wait for answers, and the source of requests that do not wait."""

import itertools
import os
import random
import time
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterator
from typing import ClassVar

from gevent.pool import Group
from locust import User, task
from locust.env import Environment
from locust.runners import WorkerRunner

from bench.locust import arrivals, kinds
from bench.locust.arrivals import Arrival
from bench.locust.entries import report
from bench.locust.exchange import Client
from bench.locust.kinds import SPEAKERS, Speaker
from bench.locust.options import Settings, key_of
from bench.locust.shapes import SHAPES

_numbers = itertools.count()
_UNLIMITED = 1_000_000
"""Connections of an open loop."""


class _Talking(User):
    """What all have: settings, a client, chance of their own."""

    abstract = True
    connections: ClassVar[int] = 1

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        options = environment.parsed_options
        assert isinstance(options, Namespace)
        self.settings = Settings.of(options)
        self.share, self.shares = _share(environment, options)
        self.draw = random.Random(f"{self.settings.seed} {self.share} {next(_numbers)}")
        self._client = Client(
            self.host or "",
            key_of(os.environ),
            timeout_s=self.settings.timeout,
            connections=self.connections,
        )

    def say(self, speaker: Speaker) -> float | None:
        """One request to its end; returns how long the server wants to be left alone."""
        answer = self._client.ask(speaker.request)
        speaker.end(answer)
        report(self.environment, speaker, answer)
        return answer.retry_after_s

    def on_stop(self) -> None:
        self._client.close()


def _share(environment: Environment, options: Namespace) -> tuple[int, int]:
    """Which share of the arrivals is this process's, and of how many."""
    runner = environment.runner
    if not isinstance(runner, WorkerRunner):
        return 0, 1
    return runner.worker_index % options.expect_workers, options.expect_workers


class _Waiting(_Talking):
    """A closed loop: the next request comes after the answer, and some thought."""

    abstract = True
    speaker: ClassVar[type[Speaker]]

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._speaker = self.speaker(self.settings, self.draw)
        self._told: float | None = None

    @task
    def speak(self) -> None:
        self._told = self.say(self._speaker)

    def wait_time(self) -> float:
        if self._told is not None:
            return self._told
        return self.draw.expovariate(1 / self.settings.think) if self.settings.think > 0 else 0.0


class Chat(_Waiting):
    speaker = kinds.Chat


class Completion(_Waiting):
    speaker = kinds.Completion


class LongContext(_Waiting):
    speaker = kinds.LongContext


class Embeddings(_Waiting):
    speaker = kinds.Embeddings


class Batch(_Waiting):
    speaker = kinds.Batch


class Abusive(_Waiting):
    speaker = kinds.Abusive


class Arrivals(_Talking):
    """An open loop: one for each process sends its share, each request in a greenlet of its own."""

    connections = _UNLIMITED

    def on_start(self) -> None:
        self._under_way = Group()
        self._idle: dict[str, list[Speaker]] = defaultdict(list)
        self._due = self._arrivals()
        self._next: Arrival | None = None
        self._began = time.perf_counter()

    @task
    def send(self) -> None:
        if self._next is not None:
            self._under_way.spawn(self._arrive, self._next)
        self._next = next(self._due, None)

    def wait_time(self) -> float:
        """Until the next arrival; Locust can stop users while they wait."""
        if self._next is None:
            return 1.0  # all have come; the shape ends the test
        return max(self._began + self._next.at - time.perf_counter(), 0.0)

    def on_stop(self) -> None:
        """What has come is waited for as long as Locust waits for its users (--stop-timeout)."""
        try:
            self._under_way.join(timeout=self.environment.stop_timeout)
        finally:
            self._under_way.kill()
            super().on_stop()

    def _arrivals(self) -> Iterator[Arrival]:
        settings = self.settings
        if settings.trace is not None:
            return iter(arrivals.read(settings.trace)[self.share :: self.shares])
        assert settings.rate is not None
        assert settings.seconds is not None
        level = SHAPES[settings.shape](settings.seconds, settings.low)
        return arrivals.poisson(level, settings.rate / self.shares, settings.seconds, self.draw)

    def _arrive(self, arrival: Arrival) -> None:
        if arrival.lengths is not None:
            self.say(kinds.Completion(self.settings, self.draw, arrival.lengths))
            return
        (kind,) = self.draw.choices(list(self.settings.mix), list(self.settings.mix.values()))
        # Somebody who has spoken before goes on, so that sessions grow here, too.
        idle = self._idle[kind]
        speaker = idle.pop() if idle else SPEAKERS[kind](self.settings, self.draw)
        self.say(speaker)
        idle.append(speaker)
