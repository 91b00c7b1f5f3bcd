"""API keys for tests, and a server's entries for them."""

from typing import Any

from serve_app import access
from serve_app.access import Keyring
from serve_app.auth_config import AuthConfig, keyring

PEPPER = "pepper-for-tests-0123456789abcdef"


def key(name: str) -> str:
    """The key with this id."""
    return f"{access.PREFIX}{name}-{name[0] * access.SECRET_LENGTH}"


def entry(name: str, **fields: Any) -> dict[str, Any]:
    """What the configuration says of the key with this id; its tenant has the same name."""
    return {
        "id": name,
        "hash": access.digest(PEPPER, key(name)).hex(),
        "tenant": name,
        **fields,
    }


def ring(*entries: dict[str, Any]) -> Keyring:
    """A server's keyring."""
    keys = keyring(AuthConfig.model_validate({"pepper": PEPPER, "keys": list(entries)}))
    assert keys is not None
    return keys


def bearer(name: str) -> dict[str, str]:
    """The headers by which the key with this id is shown."""
    return {"authorization": f"Bearer {key(name)}"}
