import pytest
from ray._private import state

from serve_app import drain

NODE = "a-node"


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(drain, "time", clock)
    return clock


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """What Ray was told, of which node and by when."""
    announced: list[tuple[str, float]] = []

    def announce(node: str, deadline: float) -> None:
        announced.append((node, deadline))

    monkeypatch.setattr(drain, "_announce", announce)
    return announced


def idle_from(moment: float, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node is empty from then on."""
    monkeypatch.setattr(drain, "is_idle", lambda _: clock.now >= moment)


def test_a_drain_ends_once_the_node_is_empty(
    clock: Clock, announced: list[tuple[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    idle_from(1020, clock, monkeypatch)
    drain.drain(NODE, 90)
    assert announced == [(NODE, 1090)]
    assert 1020 <= clock.now < 1022


@pytest.mark.usefixtures("announced")
def test_a_drain_ends_with_the_nodes_time(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    idle_from(5000, clock, monkeypatch)
    drain.drain(NODE, 30.5)
    assert clock.now == 1030.5


@pytest.mark.usefixtures("announced")
def test_a_drain_gives_serve_the_time_to_notice(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle_from(0, clock, monkeypatch)
    drain.drain(NODE, 90)
    assert 1005 < clock.now < 1008


def test_a_refusal_is_said_in_one_line(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "_announce", lambda *_: "there is no such node")
    with pytest.raises(SystemExit, match="sluice: the node cannot be drained: there is no such"):
        drain.drain(NODE, 90)
    assert clock.now == 1000


@pytest.mark.parametrize(
    ("free", "idle"),
    [
        ({"CPU": 2, "GPU": 1, "memory": 1}, True),
        ({"CPU": 2, "memory": 3}, False),  # Ray leaves out what is all taken
        ({"CPU": 1, "GPU": 1}, False),
    ],
)
def test_a_node_is_idle_when_none_of_its_cpus_and_gpus_is_reserved(
    free: dict[str, float], idle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = {"CPU": 2, "GPU": 1, "memory": 3}
    monkeypatch.setattr(state, "total_resources_per_node", lambda: {NODE: total})
    monkeypatch.setattr(state, "available_resources_per_node", lambda: {NODE: free})
    assert drain.is_idle(NODE) is idle


def test_a_node_that_is_gone_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "total_resources_per_node", dict)
    monkeypatch.setattr(state, "available_resources_per_node", dict)
    assert drain.is_idle(NODE)
