"""Fixtures of the whole suite: one server for all tests that need a real one."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support import models
from tests.support.server import Server, eventually, start


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard() -> None:
    """Also by what is started from a shell's background, where it is ignored and stays so."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """The suite ends with as many processes as it began with."""
    yield
    me = psutil.Process()
    eventually(lambda: not me.children(recursive=True), 15, "the suite's own children have ended")


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server's tiny pooling models are, once it runs."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def server(nothing_is_left_behind: None, tiny_models: Path) -> Iterator[Server]:
    """Two models that generate and three that pool behind HAProxy, as `make serve` starts them."""
    from tests.support import pooling  # late: it takes seconds, and unit tests do without

    config = {"models": [*models.CONFIG["models"], *pooling.entries(tiny_models)]}
    with start(config).serving() as running:
        yield running
