"""Which combinations are kept out of training."""

import hashlib
from collections.abc import Iterable, Sequence

SHARE = 0.1


def is_held_out(*parts: str, share: float = SHARE) -> bool:
    """Whether this combination is kept for evaluation: the same answer on every machine."""
    digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def any_held_out(combinations: Iterable[Sequence[str]]) -> bool:
    """Whether one of them is."""
    return any(is_held_out(*parts) for parts in combinations)
