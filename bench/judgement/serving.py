"""Sluice on a configuration of one's own, and what it says of its engines."""

import contextlib
import hashlib
import hmac
import http.client
import json
import secrets
import time
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench import launching
from bench.launching import HOST, Setup
from bench.processes import label_of
from bench.server import OverHttp, StackFailed
from serve_app.environment import any_free_port

ENGINE_ARGS: Mapping[str, Any] = {
    "max_model_len": 1024,
    "gpu_memory_utilization": 0.2,
    "dtype": "bfloat16",
    "enforce_eager": True,
}
_POLL_S = 0.05


@dataclass(frozen=True)
class Tenant:
    """Who asks, and the key that says so."""

    name: str
    weight: float = 1.0
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def key(self) -> str:
        return f"sk-sluice-{self.name}-{self.secret}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def entry(self, pepper: str) -> dict[str, Any]:
        """As it stands in the configuration."""
        digest = hmac.new(pepper.encode(), self.key.encode(), hashlib.sha256).hexdigest()
        return {"id": self.name, "hash": digest, "tenant": self.name, "weight": self.weight}


@dataclass(frozen=True)
class Wanted:
    """A server: one model behind one router."""

    model: str
    directory: Path
    replicas: int = 2
    engine_args: Mapping[str, Any] = field(default_factory=dict)
    router: Mapping[str, Any] = field(default_factory=dict)
    tenants: tuple[Tenant, ...] = ()
    program: tuple[str, ...] = ("serve_app",)
    """The module that serves it, and its options."""
    autoscaling: Mapping[str, Any] = field(default_factory=dict)
    num_gpus: float | None = None
    """Of each engine; None for the default."""
    start_timeout_s: float = 300

    def config(self) -> dict[str, Any]:
        """Of everything but the port."""
        model: dict[str, Any] = {
            "name": self.model,
            "source": str(self.directory),
            "num_replicas": self.replicas,
            "drain_timeout_s": 2,
            "engine_args": {**ENGINE_ARGS, **self.engine_args},
        }
        if self.num_gpus is not None:
            model["num_gpus"] = self.num_gpus
        if self.autoscaling:
            model["autoscaling"] = dict(self.autoscaling)
        config: dict[str, Any] = {"models": [model]}
        if self.router:
            config["router"] = dict(self.router)
        if self.tenants:
            pepper = secrets.token_urlsafe(32)
            keys = [tenant.entry(pepper) for tenant in self.tenants]
            config["auth"] = {"pepper": pepper, "keys": keys}
        return config


@dataclass(frozen=True)
class Engine:
    """One engine replica, as /ready has it."""

    replica: str
    beats: bool
    running: int
    waiting: int


@dataclass(frozen=True)
class State:
    """What /ready says of the model."""

    engines: list[Engine]
    queued: int
    """Sequences that wait in the router."""


class Sluice(OverHttp):
    """A running server. Use `serving`, which also stops it."""

    def __init__(self, name: str, wanted: Wanted, directory: Path) -> None:
        self._wanted = wanted
        self.headers = wanted.tenants[0].headers if wanted.tenants else {}
        port = any_free_port()
        directory.mkdir(parents=True, exist_ok=True)
        launch = launching.serve_app(wanted.config(), port, directory, wanted.program)
        setup = Setup(wanted.model, wanted.directory, wanted.engine_args)
        super().__init__(name, setup, launch, directory, port)

    @property
    def address(self) -> str:
        assert self.url is not None
        return self.url

    def engines(self) -> list[Engine]:
        """What /ready says; nothing when it does not answer."""
        return self.state().engines

    def state(self) -> State:
        """The same, with what waits for them."""
        try:
            _, body = self.ask("GET", "/ready")
            found = json.loads(body)["models"][self._wanted.model]
            waiting = found["queue"]["waiting"].values()
            return State(
                [
                    Engine(e["replica"], e["beats"], e["running"], e["waiting"])
                    for e in found["engines"]
                ],
                sum(one["sequences"] for one in waiting),
            )
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            return State([], 0)

    def whole(self) -> bool:
        """Whether every engine replica that is wanted is there and makes progress."""
        beating = [engine for engine in self.engines() if engine.beats]
        return len(beating) >= self._wanted.replicas

    def wait_until_replaced(self, before: Set[str], timeout_s: float = 180) -> float:
        """Until one of the replicas that were there `before` has gone and another has come, and
        how long that took. Raises StackFailed.
        """
        began = time.monotonic()
        while True:
            now = {engine.replica for engine in self.engines() if engine.beats}
            if now - before and len(now) >= self._wanted.replicas:
                return time.monotonic() - began
            if time.monotonic() - began > timeout_s:
                raise self._failed(f"has replaced no engine within {timeout_s:.0f} s")
            time.sleep(_POLL_S)

    def replicas(self) -> list[psutil.Process]:
        """The processes of the engine replicas."""
        return [process for process in self.tree.members() if _is_replica(process)]

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """One request and its whole answer. Raises OSError or HTTPException."""
        connection = http.client.HTTPConnection(HOST, self._port, timeout=30)
        headers = {"Content-Type": "application/json", **self.headers}
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _trouble(self) -> str | None:
        if not self.whole():
            return f"has {len(self.engines())} engines of {self._wanted.replicas}"
        # One for each engine, so that none has its first request while it is measured.
        for _ in range(self._wanted.replicas):
            body = {"model": self._wanted.model, "prompt": [1] * 64, "max_tokens": 1}
            try:
                status, said = self.ask("POST", "/v1/completions", body)
            except (OSError, http.client.HTTPException) as exc:
                return repr(exc)
            if status != 200:
                return f"answers {status} {said[:300].decode(errors='replace')}"
        return None


@contextlib.contextmanager
def serving(name: str, wanted: Wanted, directory: Path) -> Iterator[Sluice]:
    """A server with all its engines, gone afterwards however this ends. Raises StackFailed."""
    server = Sluice(name, wanted, directory)
    try:
        server.wait_until_ready(wanted.start_timeout_s)
        yield server
    finally:
        server.stop()


def _is_replica(process: psutil.Process) -> bool:
    try:
        label = label_of(process.cmdline(), process.name())
    except psutil.Error:
        return False
    return label.startswith("ray::ServeReplica:") and ":engine-" in label


__all__ = ["Engine", "Sluice", "StackFailed", "Tenant", "Wanted", "serving"]
