"""Which combinations are kept out of training."""

import hashlib

SHARE = 0.1


def is_held_out(*parts: str, share: float = SHARE) -> bool:
    """Whether this combination is kept for evaluation: the same answer on every machine."""
    digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64
