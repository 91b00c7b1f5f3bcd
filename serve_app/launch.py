"""The ways in: Serve's own command line, and ours."""

import argparse
import importlib
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from deployments import engine_args, logs
from deployments.reaper import Reaper
from serve_app import config, environment
from serve_app.config import ConfigError, Settings
from serve_app.http_config import HttpConfig
from serve_app.model_config import ModelConfig
from serve_app.terminal import Terminal

APPLICATION = "sluice"
_OPEN = (
    "Sluice has no API keys: it is open to this machine, and to nobody else. "
    "To make keys: python -m serve_app.keys new"
)
_ENDS_WITHIN_S, _LOOK_S = 10.0, 0.1
_CAUSE = re.compile(r"(\w+\.)*\w*(Error|Exception): (?!Traceback).")


def build_for_serve_run(options: Mapping[str, Any]) -> Any:
    """The application for Serve's own command line and configuration files.

    Serve opens the port there, so settings of the HTTP front that it would not follow are refused.
    """
    environment.prepare(haproxy=False)
    import ray

    from serve_app.application import application

    try:
        settings = config.load(options)
        _refuse_http_settings(settings.http)
        if not settings.auth.keys:
            _refuse_haproxy_without_keys()
            print(_OPEN, file=sys.stderr)  # noqa: T201  stdout is for what Serve prints
        return application(settings)
    except ConfigError as exc:
        if ray.is_initialized():  # in a cluster, where Serve reports the error
            raise
        sys.exit(f"sluice: {exc}")


def _refuse_http_settings(http: HttpConfig) -> None:
    default = HttpConfig()
    for key in ("host", "port", "keep_alive_timeout_s"):
        if getattr(http, key) != getattr(default, key):
            raise ConfigError(
                f"http.{key}: Serve opens the port here; set it in Serve's http_options, "
                "or start with python -m serve_app"
            )


def _refuse_haproxy_without_keys() -> None:
    if os.environ.get("RAY_SERVE_ENABLE_HA_PROXY") == "1":
        raise ConfigError(
            "auth.keys: behind HAProxy nobody sees whether a request comes from this machine; make "
            "a key (python -m serve_app.keys new) or unset RAY_SERVE_ENABLE_HA_PROXY"
        )


class Cluster(Protocol):
    """The nodes that Sluice is served on."""

    def fitted(self, settings: Settings) -> Settings:
        """`settings` as these nodes can serve them."""

    def running(self, settings: Settings) -> AbstractContextManager[None]:
        """Ray on these nodes, and this process connected to it."""


class OneNode:
    """This machine, with a Ray of our own that ends with us."""

    def fitted(self, settings: Settings) -> Settings:
        """All of it can be served here."""
        return settings

    @contextmanager
    def running(self, settings: Settings) -> Iterator[None]:
        """Never somebody else's cluster; Serve's own command line is for those."""
        import ray

        ray.init(
            address="local",
            num_cpus=logical_cpus(settings),
            include_dashboard=False,
            log_to_driver=True,
            configure_logging=False,
            # With HAProxy every Serve port is bound to the node's address, so that is loopback too.
            _node_ip_address="127.0.0.1" if settings.http.is_local else None,
        )
        Terminal(settings.log.options).attach()
        try:
            yield
        finally:
            ray.shutdown()


def main(argv: Sequence[str], cluster: Cluster | None = None) -> None:
    """Serve until a signal comes: `python -m serve_app [--config FILE] [--KEY VALUE ...]`."""
    options, haproxy = _parse(argv)
    cluster = cluster or OneNode()
    try:
        settings = cluster.fitted(config.load(options))
        _refuse_the_network_without_keys(settings)
    except ConfigError as exc:
        sys.exit(f"sluice: {exc}")
    _check_port(settings.http)
    try:
        environment.prepare(haproxy=haproxy, local=settings.http.is_local)
    except ModuleNotFoundError as exc:
        sys.exit(f"sluice: {exc}")
    importlib.import_module("ray.serve")  # which sets up a log of its own: ours comes after it
    logs.install(settings.log.options)
    if not settings.auth.keys:
        say(_OPEN)
    _yield_to_cpu_engines()
    reaper = Reaper()  # before Ray starts: even a kill -9 of this process leaves nothing behind
    _raise_at_signals()
    try:
        _serve(settings, cluster)
    except KeyboardInterrupt:
        pass  # _serve has shut everything down
    finally:
        reaper.sweep()


def _refuse_the_network_without_keys(settings: Settings) -> None:
    if not settings.auth.keys and not settings.http.is_local:
        raise ConfigError(
            "auth.keys: without keys a server is for its own machine only, not for "
            f"{settings.http.host}; make one: python -m serve_app.keys new"
        )


def _yield_to_cpu_engines() -> None:
    """All that descends from us wakes up without interrupting who computes; CPU workers undo it.

    With 64 streams somebody is always being woken, and an engine step waits for each interruption.
    """
    if engine_args.is_cpu_build() and os.sched_getscheduler(0) == os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _raise_at_signals() -> None:
    """The first SIGINT or SIGTERM ends the server in order, at whatever point; the second at once.

    However this process ends, the reaper sees to its children.
    """
    signals = (signal.SIGINT, signal.SIGTERM)

    def at_once(number: int, _: object) -> None:
        os._exit(128 + number)

    def in_order(*_: object) -> None:
        for number in signals:
            signal.signal(number, at_once)
        raise KeyboardInterrupt

    for number in signals:
        signal.signal(number, in_order)


def _check_port(http: HttpConfig) -> None:
    """HAProxy would say so in ten lines, and Ray would go on without it."""
    family = socket.AF_INET6 if ":" in http.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((http.host, http.port))
        except (OSError, ValueError) as exc:  # ValueError: what can be no host's name
            reason = getattr(exc, "strerror", None) or exc
            sys.exit(f"sluice: http.port: cannot open {http.host}:{http.port} ({reason})")


def _parse(argv: Sequence[str]) -> tuple[dict[str, Any], bool]:
    parser = argparse.ArgumentParser(
        prog="python -m serve_app",
        description="Serve models over OpenAI-compatible HTTP until Ctrl-C.",
        epilog="Any key of the configuration can be given too: --http.port 9000",
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help="a YAML file")
    parser.add_argument(
        "--proxy",
        choices=("haproxy", "serve"),
        default="haproxy",
        help="what stands in front: HAProxy (fast, the default) or Serve's own proxy",
    )
    known, rest = parser.parse_known_args(argv)
    options: dict[str, Any] = {} if known.config is None else {"config": known.config}
    while rest:
        key, equals, value = rest.pop(0).partition("=")
        if not key.startswith("--"):
            parser.error(f"unexpected {key!r}: a key begins with --")
        if not equals:
            if not rest or rest[0].startswith("--"):
                parser.error(f"{key} needs a value")
            value = rest.pop(0)
        options[key.removeprefix("--")] = value
    return options, known.proxy == "haproxy"


def _serve(settings: Settings, cluster: Cluster) -> None:
    http = settings.http
    say(f"Sluice starts {_names(settings)}; Ctrl-C ends it.")
    with cluster.running(settings):
        _raise_at_signals()  # again: Ray has put one of its own in front, by which SIGTERM aborts
        try:
            _deploy(settings)
            say(f"Sluice serves {_names(settings)} at http://{http.host}:{http.port}/v1")
            while True:
                signal.pause()
        finally:
            say("Sluice stops.")
            _stop(settings)


def _deploy(settings: Settings) -> None:
    from ray import serve
    from ray.serve.config import HTTPOptions

    from serve_app.application import application

    http = settings.http
    serve.start(
        proxy_location="HeadOnly",
        http_options=HTTPOptions(
            host=http.host,
            port=http.port,
            keep_alive_timeout_s=http.keep_alive_timeout_s,
        ),
    )
    try:
        serve.run(application(settings, fresh=True), blocking=False, name=APPLICATION)
    except RuntimeError as exc:
        sys.exit(f"sluice: {_why_not_deployed(exc)}")


def _stop(settings: Settings) -> None:
    """The application first: Serve's own shutdown would take HAProxy from under its streams."""
    from ray import serve

    drained_s = max(model.drain_timeout_s for model in settings.models)
    serve.delete(APPLICATION, _blocking=False)
    deadline = time.monotonic() + drained_s + _ENDS_WITHIN_S
    while APPLICATION in serve.status().applications and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    serve.shutdown()


def _why_not_deployed(exc: RuntimeError) -> str:
    """The cause in Serve's report, which quotes the whole stack of a replica that failed."""
    from ray import serve

    for name, deployment in serve.status().applications[APPLICATION].deployments.items():
        causes = [line for line in deployment.message.splitlines() if _CAUSE.match(line)]
        if causes:
            return f"{name} did not start: {causes[-1]}"
    return str(exc).splitlines()[0]


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  what a user at a terminal waits for


def _names(settings: Settings) -> str:
    return ", ".join(name for model in settings.models for name in model.names)


def logical_cpus(settings: Settings) -> int:
    """What all replicas reserve together, and one more to replace a replica; at least the cores.

    Ray counts reservations, not work: a small machine may run more engines than it has cores.
    """
    reserved = sum(model.most_replicas * engine_cpus(model) for model in settings.models)
    reserved += settings.router.num_replicas * settings.router.num_cpus
    return max(os.cpu_count() or 1, int(reserved) + 1)


def engine_cpus(model: ModelConfig) -> float:
    """What one replica reserves at most (see `engine_options`), over all its devices."""
    devices = engine_args.world_size(model.engine_args)
    return model.num_cpus if devices == 1 else devices * max(1, model.num_cpus)
