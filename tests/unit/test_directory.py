"""Which replicas run: whoever watches learns it, whether it comes before or after the news."""

import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from deployments import directory
from deployments.directory import Replica
from tests.unit.fakes import FakeHandle

SAID = {"host": "10.0.0.1", "port": 5000, "secret": "s", "facts": {"max_model_len": 512}}


def replica(name: str) -> Replica:
    return Replica(name, **cast(Any, SAID))


def watch(handle: FakeHandle, listener: directory.Listener) -> Callable[[], None]:
    return directory.watch(cast(Any, handle), listener)


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[list[Replica]] = []

    def __call__(self, replicas: list[Replica]) -> None:
        self.told.append(replicas)


@pytest.fixture
def handle() -> FakeHandle:
    return FakeHandle()


@pytest.fixture
def listener() -> Listener:
    return Listener()


def test_a_watcher_learns_what_was_published_before(handle: FakeHandle, listener: Listener) -> None:
    handle.publish(replica("a"))
    watch(handle, listener)
    assert listener.told == [[replica("a")]]


def test_a_watcher_learns_each_change(handle: FakeHandle, listener: Listener) -> None:
    watch(handle, listener)
    assert listener.told == []
    handle.publish(replica("a"), replica("b"))
    handle.publish(replica("b"))
    handle.publish()
    assert listener.told == [[replica("a"), replica("b")], [replica("b")], []]


def test_every_watcher_learns_it(handle: FakeHandle) -> None:
    listeners = [Listener(), Listener()]
    for listener in listeners:
        watch(handle, listener)
    handle.publish(replica("a"))
    assert [listener.told for listener in listeners] == [[[replica("a")]]] * 2


def test_a_watcher_learns_nothing_of_other_deployments(
    handle: FakeHandle, listener: Listener
) -> None:
    watch(handle, listener)
    FakeHandle().publish(replica("a"))
    assert listener.told == []


def test_watching_makes_serve_follow_the_deployment(handle: FakeHandle, listener: Listener) -> None:
    watch(handle, listener)
    assert handle.used


def test_a_replica_that_has_not_said_where_it_is_is_left_out(
    handle: FakeHandle, listener: Listener
) -> None:
    watch(handle, listener)
    running: list[tuple[str, Any]] = [("starting", {}), ("old", None), ("a", SAID)]
    directory.publish(handle.deployment_name, running)
    assert listener.told == [[replica("a")]]


def test_one_that_watches_no_more_learns_nothing(handle: FakeHandle, listener: Listener) -> None:
    stop = watch(handle, listener)
    stop()
    handle.publish(replica("a"))
    assert listener.told == []


def test_news_never_come_before_older_ones(handle: FakeHandle) -> None:
    """A watcher that is just being told of the old set is told of a new one afterwards."""
    handle.publish(replica("old"))
    told: list[list[Replica]] = []
    publisher = threading.Thread(target=lambda: handle.publish(replica("new")))

    def slow(replicas: list[Replica]) -> None:
        if not told and publisher.ident is None:
            publisher.start()
            publisher.join(0.1)  # it may overtake us, if anything lets it
        told.append(replicas)

    watch(handle, slow)
    publisher.join()
    assert told == [[replica("old")], [replica("new")]]
