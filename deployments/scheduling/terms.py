"""On which terms a request is served: who asks, how urgent it is, and how long it may take."""

from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """Classes of requests, the most urgent first."""

    INTERACTIVE = 0
    STANDARD = 1
    BATCH = 2


@dataclass(frozen=True, slots=True)
class Terms:
    """What the router must know of a request beside its sequences."""

    tenant: str = "anonymous"
    weight: float = 1.0
    """The tenant's share of a contended server, relative to the weights of others."""
    level: Level = Level.STANDARD
    deadline_s: float | None = None
    """Within how many seconds of its arrival the first token must come; None takes what comes."""
    cache_salt: str | None = None
    """Cached prefixes are shared only under the same salt."""
    priority: int = 0
    """Of what one tenant has waiting in one class, the lowest goes first."""
    streamed: bool = False
    """Whether tokens are shown as they come, or all at the end."""
    due_since: float | None = None
    """Since when its first token is waited for, by the router's clock: it had come, the wait for
    its body left out. None: since it came to the queue."""
