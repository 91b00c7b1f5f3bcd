"""Which engine replicas live, as Serve tells it.

Serve gives every deployment handle the set of running replicas, and a request router gets to see
it. Ours (deployments.directory_router) passes the set on, with what each replica said of itself
when it started (`record_replica_metadata`): address, secret, facts. Nobody polls, and a replica
that Serve stops or replaces is gone from the set before it dies.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

ROUTER_CLASS = "deployments.directory_router:DirectoryRouter"


@dataclass(frozen=True)
class Replica:
    """One running engine replica and where to connect to it."""

    id: str
    host: str
    port: int
    secret: str
    facts: dict[str, Any]
    pid: int | None = None
    """Its process, on its host."""
    start_s: Mapping[str, float] = field(default_factory=dict)
    """How long each stage of its start took."""


Listener = Callable[[list[Replica]], None]

_lock = threading.Lock()
_listeners: dict[str, list[Listener]] = {}
_known: dict[str, list[Replica]] = {}


def watch(handle: "DeploymentHandle", listener: Listener) -> Callable[[], None]:
    """Call `listener` with the running replicas of `handle`'s deployment, now and on each change.

    Returns what ends it. The listener is called on whatever thread Serve uses, and must return at
    once: a lock is held, so that it never learns older news after newer. Serve makes request
    routers itself, by their path, so this module's own state is where the two meet.
    """
    name = handle.deployment_name
    with _lock:
        _listeners.setdefault(name, []).append(listener)
        known = _known.get(name)
        if known is not None:
            listener(known)
    handle.options()  # a handle begins to follow its deployment when it is first used

    def stop() -> None:
        with _lock:
            _listeners[name].remove(listener)

    return stop


def publish(name: str, running: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Tell the listeners of deployment `name` which replicas run, by id and what each has said."""
    replicas = [Replica(id=identity, **said) for identity, said in running if said]
    with _lock:
        _known[name] = replicas
        for listener in _listeners.get(name, ()):
            listener(replicas)
