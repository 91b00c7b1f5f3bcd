"""Fixtures of the whole suite: one server for all tests that need a real one."""

from collections.abc import Iterator

import psutil
import pytest

from tests.support import models
from tests.support.server import Server, eventually, start


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """The suite ends with as many processes as it began with."""
    yield
    me = psutil.Process()
    eventually(lambda: not me.children(recursive=True), 15, "the suite's own children have ended")


@pytest.fixture(scope="session")
def server(nothing_is_left_behind: None) -> Iterator[Server]:
    """Two models behind HAProxy, as `make serve` starts them."""
    running = start(models.CONFIG)
    try:
        running.wait_until_ready()
        yield running
        running.stop()
    finally:
        running.kill()
