"""Which engine replica takes a sequence. Pure: no I/O, no clock."""

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Candidate(Protocol):
    """What a policy may know of an engine replica."""

    @property
    def in_flight(self) -> int:
        """Sequences that this router has there: exact and fresh."""

    @property
    def others(self) -> int:
        """Sequences that other routers have there, by the engine's last report."""

    @property
    def kv_cache_usage(self) -> float:
        """Share of KV blocks in use, 0 to 1, by the engine's last report."""


C = TypeVar("C", bound=Candidate)


def least_loaded(candidates: Iterable[C]) -> C | None:
    """The replica with the fewest sequences, then the least KV in use; None when there is none."""
    return min(
        candidates,
        key=lambda c: (c.in_flight + c.others, c.kv_cache_usage),
        default=None,
    )
