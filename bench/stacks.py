"""Every stack that is compared, by name."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench import launching
from bench.launching import ROOT, UNIPROC, Launcher, Setup, with_executor
from bench.peers import PeersFailed
from bench.server import OverHttp, OverPipes, Server, StackFailed
from serve_app.environment import any_free_port

__all__ = [
    "ROOT",
    "STACKS",
    "Server",
    "Setup",
    "StackFailed",
    "exists",
    "launcher",
    "running",
]

STACKS: Mapping[str, Launcher] = {
    "vllm": launching.vllm,  # its own default executor: mp
    "vllm-uniproc": with_executor(launching.vllm, UNIPROC),
    "rayllm": launching.rayllm,  # on a CPU it insists on mp
    "rayllm-direct": launching.rayllm_direct,
    "sluice": launching.sluice,  # its own default executor on a CPU: uniproc
    "sluice-mp": with_executor(launching.sluice, "mp"),
    "alone": launching.alone,  # Sluice's engine, so uniproc too
}


_CHECKOUT = "sluice@"
"""Before the directory of another checkout, in the name of the stack that it serves."""


def exists(name: str) -> bool:
    """Whether there is such a stack: one of `STACKS`, or `sluice@DIR`, Sluice as it is in DIR."""
    checkout = name.removeprefix(_CHECKOUT)
    return name in STACKS or (checkout != name and (Path(checkout) / "serve_app").is_dir())


def launcher(name: str) -> Launcher:
    """How a stack is started. Raises KeyError where there is none."""
    if name in STACKS or not exists(name):
        return STACKS[name]
    checkout = Path(name.removeprefix(_CHECKOUT)).resolve()
    return launching.from_checkout(checkout, launching.sluice)


@contextlib.contextmanager
def running(name: str, setup: Setup, directory: Path) -> Iterator[Server]:
    """A stack that is ready, and gone afterwards however this ends. Raises StackFailed."""
    server = _started(name, setup, directory)
    try:
        server.wait_until_ready(setup.start_timeout_s)
        yield server
    finally:
        server.stop()


def _started(name: str, setup: Setup, directory: Path) -> Server:
    (directory / name).parent.mkdir(parents=True, exist_ok=True)  # a checkout's name has slashes
    port = any_free_port()
    try:
        launch = launcher(name)(setup, port, directory)
    except PeersFailed as exc:
        raise StackFailed(f"{name} did not start: {exc}") from exc
    if name == "alone":
        return OverPipes(name, setup, launch, directory)
    return OverHttp(name, setup, launch, directory, port)
