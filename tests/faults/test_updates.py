"""`serve deploy` of something else, under load: nobody notices, whether it can be served or not."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support import models
from tests.support.clients import MIXED, Clients
from tests.support.deployed import Deployed, deployed
from tests.support.server import eventually

MODEL: Mapping[str, Any] = {**models.CONFIG["models"][0], "drain_timeout_s": 60}
FIRST: Mapping[str, Any] = {"models": [MODEL]}
REQUESTS = 350
"""In each test, so more than 1,000 in all."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Deployed]:
    """One engine, one router: each update has to make another of each first."""
    with deployed(FIRST) as running:
        yield running


@contextmanager
def load(cluster: Deployed) -> Iterator[None]:
    """Clients all around what is done, of whom none may notice anything."""
    with Clients(cluster, models.SMALL, count=6, tokens=MIXED) as clients:
        yield
        clients.wait_for_answers(REQUESTS)


def with_engine_args(**args: Any) -> dict[str, Any]:
    """The same, but for so much."""
    return {**FIRST, "models": [{**MODEL, "engine_args": {**MODEL["engine_args"], **args}}]}


def engines(cluster: Deployed) -> set[str]:
    return {engine["replica"] for engine in cluster.engines(models.SMALL)}


def is_running(cluster: Deployed) -> bool:
    return str(cluster.status()["status"]) == "RUNNING"


def test_an_update_is_noticed_by_nobody(cluster: Deployed) -> None:
    before = engines(cluster)
    with load(cluster):
        cluster.deploy({**with_engine_args(max_num_seqs=32), "router": {"max_moves": 4}})
        eventually(lambda: not engines(cluster) & before, 240, "other engines")
        eventually(lambda: is_running(cluster), 60, "Serve has done")


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        ({"models": [{**MODEL, "source": "/no/such/model"}]}, "there is no directory"),
        (with_engine_args(max_model_len=1 << 20), "max_model_len"),
    ],
    ids=["is not there", "does not start"],
)
def test_an_update_to_what_cannot_be_served_changes_nothing_and_says_why(
    cluster: Deployed, update: dict[str, Any], reason: str
) -> None:
    before = engines(cluster)

    def failed() -> bool:
        status = cluster.status()
        deployments = status.get("deployments", {}).values()
        said = [status["message"], *(one["message"] for one in deployments)]
        return status["status"] not in ("RUNNING", "DEPLOYING") and reason in " ".join(said)

    with load(cluster):
        cluster.deploy(update)
        eventually(failed, 400, f"Serve says {reason}")
    assert engines(cluster) == before
