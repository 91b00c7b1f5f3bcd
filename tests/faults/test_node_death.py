"""Nodes that go under load: their streams go on elsewhere, and others take their place."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import yaml

from serve_app.environment import any_free_port
from tests.support import models
from tests.support.clients import Clients
from tests.support.server import ROOT, Server, eventually

ENGINES = 2


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


@contextmanager
def load(cluster: Server) -> Iterator[None]:
    """Clients who keep all engines at work, of whom none may notice anything."""
    with Clients(cluster, models.SMALL):
        eventually(lambda: all(e["running"] for e in cluster.engines(models.SMALL)), 20, "work")
        yield


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
