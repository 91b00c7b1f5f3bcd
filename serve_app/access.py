"""Who may do what: API keys, and the clients that they stand for. No I/O, no HTTP.

A key is `sk-sluice-<id>-<secret>`. The server keeps HMAC-SHA256(pepper, key) only: whoever reads
its configuration can make no key from it, and without the pepper cannot even try one out.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from deployments.errors import Unauthorized
from deployments.scheduling.terms import Level

PREFIX = "sk-sluice-"
SECRET_LENGTH = 43
"""Characters of a secret: 32 random bytes in URL-safe base64."""
_INVALID = "This API key is not valid."


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks, and what it may."""

    key_id: str
    """Which key it showed; empty where the server has no keys."""
    tenant: str
    weight: float
    classes: tuple[Level, ...]
    """What it may choose from; the first is what it gets when it does not choose."""
    models: frozenset[str] | None
    """By name; None: all of them."""
    admin: bool = False
    """Whether it may change what the server serves."""
    metrics: bool = False
    """Whether it may read the metrics, which name all models and tenants; an admin may anyway."""

    def may_use(self, model: str) -> bool:
        """Whether `model` exists for this client."""
        return self.models is None or model in self.models

    @property
    def cache_salt(self) -> str | None:
        """What keeps its cached prefixes apart from other tenants'; None where there are none.

        The tenant's name itself: no two tenants can collide, and no client chooses its tenant.
        """
        return self.tenant if self.key_id else None


ANONYMOUS = Client(
    "", "anonymous", 1.0, (Level.STANDARD, Level.INTERACTIVE, Level.BATCH), None, admin=True
)
"""Everybody, where the server has no keys: who asks from its own machine."""


class Keys(Protocol):
    """Tells clients by their keys. May wait, for a database; must not block the event loop."""

    async def authenticate(self, presented: str, now: datetime) -> Client:
        """The client that `presented` stands for; raises Unauthorized."""


@dataclass(frozen=True, slots=True)
class Key:
    """What the server knows of one key."""

    client: Client
    digest: bytes
    expires: datetime | None = None
    """From when on it is refused."""


class Keyring:
    """The keys of a configuration.

    An id that nobody has costs the same HMAC and the same comparison as one that somebody has:
    how long a refusal takes tells nothing.
    """

    def __init__(self, pepper: str, keys: Iterable[Key]) -> None:
        self._pepper = pepper
        self._keys = {key.client.key_id: key for key in keys}

    async def authenticate(self, presented: str, now: datetime) -> Client:
        """The client that `presented` stands for; raises Unauthorized."""
        key = self._keys.get(key_id(presented), _NOBODY)
        matches = hmac.compare_digest(digest(self._pepper, presented), key.digest)
        if not matches or key is _NOBODY:
            raise Unauthorized(_INVALID)
        if key.expires is not None and now >= key.expires:
            raise Unauthorized(f"This API key expired at {key.expires.isoformat()}.")
        return key.client


_NOBODY = Key(ANONYMOUS, bytes(32))


def digest(pepper: str, key: str) -> bytes:
    """HMAC-SHA256: what the server keeps of a key."""
    return hmac.digest(pepper.encode(), key.encode("utf-8", "surrogatepass"), "sha256")


def key_id(key: str) -> str:
    """The id in a key, if it is one."""
    end = len(key) - SECRET_LENGTH - 1
    if end > len(PREFIX) and key.startswith(PREFIX) and key[end] == "-":
        return key[len(PREFIX) : end]
    return ""
