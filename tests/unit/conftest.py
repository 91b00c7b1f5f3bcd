"""Shared fixtures; and no unit test leaves a task, a socket or a child process behind."""

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from deployments import dispatcher, engine_server, link, pool
from deployments.pool import EnginePool
from tests.unit import loops
from tests.unit.fakes import FakeClock, Serving, serving, until
from tests.unit.peers import ScriptedEngine, scripted_engine


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loops that a test asks for by name, or asyncio's own."""
    asked = any("loop_factories" in mark.kwargs for mark in item.iter_markers("asyncio"))
    return loops.FACTORIES if asked else {"asyncio": asyncio.new_event_loop}


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    """Fails a test that leaves a child process."""
    before = _children()
    yield
    assert _children() <= before


@pytest.fixture(autouse=True)
def nothing_is_left_on_the_loop(request: pytest.FixtureRequest, no_child_is_left: None) -> None:
    """Fails an asynchronous test that leaves a task or a socket."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue(_clean_loop.__name__)


@pytest.fixture
async def _clean_loop() -> AsyncIterator[None]:
    tasks, sockets = asyncio.all_tasks(), _count_sockets()
    yield
    mine = asyncio.current_task()
    try:
        # What has been closed or cancelled needs a turn of the loop to go.
        await until(lambda: asyncio.all_tasks() - tasks <= {mine}, within_s=1)
        await until(lambda: _count_sockets() <= sockets, within_s=1)
    except AssertionError:
        left = [task for task in asyncio.all_tasks() - tasks if task is not mine]
        raise AssertionError(f"left: {_count_sockets() - sockets} sockets, tasks {left}") from None


def _count_sockets() -> int:
    # Counted, because uvloop has a pair of its own, another one each time that it runs.
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            count += os.readlink(entry).startswith("socket:")
        except FileNotFoundError:  # the descriptor of this very listing
            continue
    return count


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


@pytest.fixture
def no_setting_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of ours, whoever runs the tests."""
    for variable in os.environ:
        if variable.upper().startswith("SLUICE_"):
            monkeypatch.delenv(variable)


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The whole environment, empty at first."""
    variables: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", variables)
    return variables


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until a test moves it."""
    return FakeClock()


@pytest.fixture
async def served(clock: FakeClock) -> AsyncIterator[Serving]:
    """A real engine replica's end over a fake engine."""
    async with serving(now=clock) as served:
        yield served


@pytest.fixture
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats a hundred times as often."""
    monkeypatch.setattr(engine_server, "BEAT_S", 0.005)


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for an engine."""
    monkeypatch.setattr(dispatcher, "GRACE_S", 0.02)


@pytest.fixture
async def engine() -> AsyncIterator[ScriptedEngine]:
    """The engine's end of a connection, played by the test."""
    async with scripted_engine() as engine:
        yield engine


@pytest.fixture
async def one() -> AsyncIterator[ScriptedEngine]:
    """An engine of that name."""
    async with scripted_engine("one") as engine:
        yield engine


@pytest.fixture
async def two() -> AsyncIterator[ScriptedEngine]:
    """Another engine."""
    async with scripted_engine("two") as engine:
        yield engine


@pytest.fixture
async def engines(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EnginePool]:
    """A pool that looks at its links, and tries lost ones again, many times a second."""
    monkeypatch.setattr(pool, "_CHECK_S", 0.005)
    monkeypatch.setattr(link, "_FIRST_RETRY_S", 0.002)
    engines = EnginePool("router", now=clock)
    yield engines
    await engines.close()
