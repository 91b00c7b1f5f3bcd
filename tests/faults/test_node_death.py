"""Nodes that go under load: their streams go on elsewhere, and others take their place."""

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from serve_app.environment import any_free_port
from tests.support import models
from tests.support.server import ROOT, Server, eventually

ENGINES = 2
CLIENTS = 4
PAUSE_S = 0.2  # else the machine has no time to start an engine


@pytest.fixture(scope="module")
def cluster() -> Iterator[Server]:
    """A model on two engines, each on a node of its own."""
    model = {**models.CONFIG["models"][0], "num_replicas": ENGINES}
    port = any_free_port()
    file = Path(tempfile.mkstemp(prefix="sluice-test-", suffix=".yaml")[1])
    config = {"models": [model], "http": {"port": port}, "router": {"placement": "round_robin"}}
    file.write_text(yaml.safe_dump(config))
    program = [sys.executable, "-m", "serve_app.cluster_local", "--idle-timeout", "5"]
    with Server([*program, "--config", str(file)], port, {}).serving() as running:
        eventually(lambda: len(raylets(running)) == ENGINES, 60, "each engine has a node")
        yield running


def raylets(cluster: Server) -> set[int]:
    """The pids of the raylets of those nodes that have an engine.

    An engine outlives its raylet by a moment, and is then the child of process 1.
    """
    found = set()
    for engine in cluster.engines(models.SMALL):
        with suppress(psutil.NoSuchProcess):
            found.add(psutil.Process(engine["pid"]).ppid())
    return found - {1}


class Client(threading.Thread):
    """One of several who ask, again and again, each for a text of its own."""

    def __init__(self, cluster: Server, number: int) -> None:
        super().__init__()
        self._cluster = cluster
        self._body = {
            "model": models.SMALL,
            "prompt": f"Number {number}",
            "max_tokens": 400,
            "temperature": 0,
            "ignore_eos": True,
        }
        self.expected = self._ask()
        self.answers: list[str] = []
        self.over = threading.Event()

    def _ask(self) -> str:
        answer: dict[str, Any] = self._cluster.post("/v1/completions", self._body).json()
        return str(answer["choices"][0]["text"] if "choices" in answer else answer)

    def run(self) -> None:
        while not self.over.wait(PAUSE_S):
            self.answers.append(self._ask())


@contextmanager
def load(cluster: Server) -> Iterator[None]:
    """Clients who keep all engines at work, of whom none may notice anything."""
    clients = [Client(cluster, number) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        eventually(lambda: all(e["running"] for e in cluster.engines(models.SMALL)), 20, "work")
        yield
    finally:
        for client in clients:
            client.over.set()
        for client in clients:
            client.join(60)
    for client in clients:
        assert set(client.answers) == {client.expected}


def drain(cluster: Server, raylet: int) -> None:
    """`python -m serve_app.drain` for the node of a raylet."""
    access = re.search(r"^(RAY_\S+=\S+ )+", cluster.log.read_text(), re.MULTILINE)
    assert access is not None
    node = psutil.Process(raylet).environ()["RAY_OVERRIDE_NODE_ID_FOR_TESTING"]
    env = {**os.environ, **dict(pair.split("=", 1) for pair in access[0].split())}
    command = [sys.executable, "-m", "serve_app.drain", "--node", node, "--within", "60"]
    command += ["--address", env.pop("RAY_ADDRESS")]
    subprocess.run(command, cwd=ROOT, env=env, check=True, timeout=90)


def test_a_node_that_is_drained_goes_unnoticed(cluster: Server) -> None:
    victim = min(raylets(cluster))
    with load(cluster):
        drain(cluster, victim)
        assert victim not in raylets(cluster)
        assert len(raylets(cluster)) == ENGINES


def test_a_node_that_dies_is_replaced_and_its_streams_go_on(cluster: Server) -> None:
    victim = min(raylets(cluster))
    with load(cluster):
        psutil.Process(victim).kill()
        eventually(lambda: len(raylets(cluster) - {victim}) == ENGINES, 90, "another node")
