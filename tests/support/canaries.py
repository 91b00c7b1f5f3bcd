"""Secrets that must not be found again, and the looking for them."""

import base64
import secrets
from collections.abc import Iterable, Sequence


class Canaries:
    """Makes them, and remembers them all."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self.token_ids: list[list[int]] = []
        """What some of them are to a model."""

    def new(self) -> str:
        """One that is nowhere else: letters and digits, which every escaping leaves as they are."""
        return self.add("canary" + secrets.token_hex(12))

    def add(self, canary: str) -> str:
        """One that was made elsewhere."""
        self.all.append(canary)
        return canary

    def found_in(self, told: Iterable[tuple[str, bytes]]) -> list[tuple[str, str]]:
        """Where any of them is told, be it in base64 or as token ids, and what stands there."""
        looks = [look for canary in self.all for look in _looks(canary)]
        looks += [look for ids in self.token_ids for look in _written(ids)]
        return [
            (name, _around(content, look))
            for name, content in told
            for look in looks
            if look in content
        ]


def _looks(canary: str) -> list[bytes]:
    """A canary as it is, and in base64 wherever it stands in what was encoded."""
    plain = canary.encode()
    encoded = []
    for before in range(3):
        text = base64.b64encode(b"x" * before + plain)
        # At its ends letters are made of what stands beside it, too.
        encoded.append(text[4 if before else 0 : -4])
    return [plain, *encoded]


def _written(token_ids: Sequence[int]) -> list[bytes]:
    return [between.join(map(str, token_ids)).encode() for between in (", ", ",", " ")]


def _around(content: bytes, look: bytes) -> str:
    at = content.index(look)
    return content[max(0, at - 300) : at + 100].decode(errors="replace")
