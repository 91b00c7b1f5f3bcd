"""python -m serve_app.keys new: make an API key.

Prints the key, which is stored nowhere, and the entry by which the server will know it.
"""

import argparse
import re
import secrets
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import yaml
from pydantic import ValidationError

from serve_app import access, config
from serve_app.auth_config import AuthConfig, KeyConfig

_NEW_PEPPER = """\
No pepper is configured, so here is one. Give it to the server, always the same, and keep it secret:

    export SLUICE_AUTH__PEPPER={pepper}

"""
_NEW_KEY = """\
The key of {tenant}, shown this once:

    {key}

Its entry for the configuration:

{entry}"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(argv: Sequence[str]) -> None:
    """`new --tenant NAME [...]` prints a key and its entry; what is wrong is said in one line."""
    parser = _parser()
    given = parser.parse_args(argv)
    try:
        auth = config.load_auth(given.config)
        pepper = auth.pepper or secrets.token_urlsafe(32)
        key, entry = new_key(given, auth, pepper)
    except config.ConfigError as exc:
        parser.error(str(exc))
    text = "" if auth.pepper else _NEW_PEPPER.format(pepper=pepper)
    text += _NEW_KEY.format(tenant=entry["tenant"], key=key, entry=_yaml(entry))
    print(text, end="")  # noqa: T201  what it is called for


def new_key(given: argparse.Namespace, auth: AuthConfig, pepper: str) -> tuple[str, dict[str, Any]]:
    """A new key and its entry beside those of `auth`; raises ConfigError."""
    others = {key.tenant: key.weight for key in auth.keys}
    name = f"{_slug(given.tenant)}-{secrets.token_hex(3)}" if given.id is None else given.id
    key = f"{access.PREFIX}{name}-{secrets.token_urlsafe(32)}"
    entry: dict[str, Any] = {
        "id": name,
        "hash": access.digest(pepper, key).hex(),
        "tenant": given.tenant,
        "weight": others.get(given.tenant, 1.0) if given.weight is None else given.weight,
        "classes": given.classes,
        "models": given.models,
        "admin": given.admin or None,
        "expires": given.expires,
    }
    entry = {field: value for field, value in entry.items() if value is not None}
    try:
        made = KeyConfig.model_validate(entry)
    except ValidationError as exc:
        error = exc.errors()[0]
        raise config.ConfigError(f"--{error['loc'][0]}: {config.reason(error)}") from None
    try:
        AuthConfig(pepper=pepper, keys=[*auth.keys, made])
    except ValidationError as exc:
        raise config.ConfigError(config.reason(exc.errors()[0])) from None
    return key, made.model_dump(mode="json", include=set(entry))


def _slug(tenant: str) -> str:
    """The tenant's name as part of an id."""
    return re.sub(r"[^A-Za-z0-9]+", "-", tenant)[:50].strip("-") or "key"


def _yaml(entry: dict[str, Any]) -> str:
    content = {"auth": {"keys": [entry]}}
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, allow_unicode=True)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m serve_app.keys", allow_abbrev=False)
    new = parser.add_subparsers(title="commands", required=True, metavar="new").add_parser(
        "new", help="make an API key", allow_abbrev=False
    )
    new.add_argument("--tenant", required=True, help="whom its tokens are charged to")
    new.add_argument("--id", help="stands in the key and in logs; default: the tenant and a number")
    new.add_argument("--weight", help="the tenant's share beside others; default: as it has, or 1")
    new.add_argument(
        "--classes",
        type=_names,
        metavar="A,B",
        help="of interactive, standard and batch those it may choose, the default first",
    )
    new.add_argument(
        "--models", type=_names, metavar="A,B", help="those it may use; default: all of them"
    )
    new.add_argument(
        "--admin", action="store_true", help="it may load and unload adapters; default: it may not"
    )
    new.add_argument("--expires", metavar="DATE", help="from when on it is refused; default: never")
    new.add_argument("--config", metavar="FILE", help="the server's, for its pepper and its keys")
    return parser


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


if __name__ == "__main__":
    main(sys.argv[1:])
