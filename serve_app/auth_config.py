"""The `auth:` section of the configuration: the API keys that the server knows.

    auth:
      pepper: ...           # better in the environment: SLUICE_AUTH__PEPPER
      keys:                 # python -m serve_app.keys new prints such an entry
        - id: acme-1
          hash: 5f0c...     # of the key, which the server does not know
          tenant: acme

No message here quotes a value: it might be the pepper, or a key in the wrong place.
"""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
)

from deployments.scheduling.terms import Level
from serve_app.access import Client, Key, Keyring
from serve_app.section import Section

MIN_PEPPER_LENGTH = 32


def _as_time(value: Any) -> datetime:
    """A date or a time as a file or the environment has it; without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(str(value) if isinstance(value, date) else value)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as exc:
        raise ValueError("write an ISO 8601 date or time, such as 2027-01-01, or null") from exc


def _without_repetition(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("write each name once")
    return names


_Class = Literal["interactive", "standard", "batch"]


def _every_class() -> list[_Class]:
    return ["standard", "interactive", "batch"]


_Names = Annotated[list[str], AfterValidator(_without_repetition)]


class KeyConfig(Section):
    """One API key, and what the client that shows it may."""

    id: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Stands in the key, and in logs instead of it."""
    hash: str
    """HMAC-SHA256 of the key with the pepper, in hex."""
    tenant: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\s]+$")]
    """Whom the tokens are charged to; several keys may have the same."""
    weight: Annotated[float, Field(ge=0.001, le=1000)] = 1
    """The tenant's share of a contended server, relative to the weights of others."""
    classes: Annotated[
        list[_Class],
        Field(min_length=1),
        AfterValidator(_without_repetition),
    ] = Field(default_factory=_every_class)
    """What a request may choose by x-sluice-class; the first where it does not choose."""
    models: Annotated[_Names, Field(min_length=1)] | None = None
    """The names of those it may use; null: all of them."""
    admin: bool = False
    """Whether it may load and unload adapters, of any model and of any name."""
    metrics: bool = False
    """Whether it may read /metrics, which name all models and tenants; an admin may anyway."""
    expires: Annotated[datetime, BeforeValidator(_as_time)] | None = None
    """From when on it is refused; a date means its first moment, UTC."""

    @field_validator("hash")
    @classmethod
    def _hash_is_hex(cls, value: str) -> str:
        if not re.fullmatch(r"[0-9a-fA-F]{64}", value):
            raise ValueError("write the 64 hex digits that python -m serve_app.keys new printed")
        return value.lower()


class AuthConfig(Section):
    """Who may ask. Without keys the server is open, and to its own machine only."""

    keys: list[KeyConfig] = Field(default_factory=list)
    pepper: Annotated[str | None, Field(repr=False, validate_default=True)] = None
    """The secret without which the hashes cannot be tried; never printed."""
    share_prefix_cache: bool = False
    """Whether tenants share cached prefixes; how fast an answer begins then tells what others
    have asked."""

    @field_validator("keys")
    @classmethod
    def _keys_agree(cls, keys: list[KeyConfig]) -> list[KeyConfig]:
        ids, first = set[str](), dict[str, KeyConfig]()
        for key in keys:
            if key.id in ids:
                raise ValueError(f"two keys have the id {key.id}; give each its own")
            ids.add(key.id)
            other = first.setdefault(key.tenant, key)
            if other.weight != key.weight:
                raise ValueError(
                    f"keys {other.id} and {key.id} give their tenant {key.tenant} different "
                    "weights; give both the same"
                )
        return keys

    @field_validator("pepper", mode="before")
    @classmethod
    def _pepper_is_there_and_long(cls, pepper: Any, info: ValidationInfo) -> Any:
        if pepper is None:
            if info.data.get("keys"):
                raise ValueError(
                    "set the one that the hashes of the keys were made with, here or as "
                    "SLUICE_AUTH__PEPPER"
                )
            return None
        if not isinstance(pepper, str):
            raise ValueError("write it in quotes, as text")
        if len(pepper) < MIN_PEPPER_LENGTH:
            raise ValueError(
                f"it has {len(pepper)} characters; take at least {MIN_PEPPER_LENGTH} random ones"
            )
        if not (pepper.isascii() and pepper.isprintable()):
            raise ValueError("write it in printable ASCII characters, on one line")
        return pepper


def keyring(auth: AuthConfig) -> Keyring | None:
    """What tells clients by their keys; None when there are none."""
    if not auth.keys:
        return None
    assert auth.pepper is not None  # where there are keys there is one
    return Keyring(auth.pepper, [_key(key) for key in auth.keys])


def _key(key: KeyConfig) -> Key:
    classes = tuple(Level[name.upper()] for name in key.classes)
    models = None if key.models is None else frozenset(key.models)
    client = Client(key.id, key.tenant, key.weight, classes, models, key.admin, key.metrics)
    return Key(client, bytes.fromhex(key.hash), key.expires)
