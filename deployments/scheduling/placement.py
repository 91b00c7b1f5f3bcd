"""Which engine replica takes a sequence. Pure: no I/O, no clock."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from deployments.scheduling.prefixes import PrefixIndex

_FREE_TOKENS = 64
"""So few more prompt tokens hardly lengthen an engine step."""


class Candidate(Protocol):
    """An engine replica that has room now."""

    @property
    def name(self) -> str:
        """Its own, as long as it lives."""

    @property
    def load(self) -> int:
        """Tokens that it has yet to compute: prompt tokens not cached and those to be generated."""


C = TypeVar("C", bound=Candidate)


class Placement(Protocol):
    """A policy and what it remembers. Hashes are a prompt's, from `prefixes.block_hashes`."""

    @property
    def needs_hashes(self) -> bool:
        """False when it looks at no hashes, so that none need be computed."""

    def choose(self, candidates: Sequence[C], hashes: Sequence[int]) -> C | None:
        """The replica for a prompt; None when there is no candidate."""

    def placed(self, replica: str, hashes: Sequence[int], capacity: int) -> None:
        """The prompt was sent there; the engine's KV cache has room for `capacity` blocks."""

    def observed(self, replica: str, hashes: Sequence[int], cached_blocks: int) -> None:
        """The prompt was computed there; the engine had so many leading blocks of it cached."""

    def forget(self, replica: str) -> None:
        """The replica is gone, or starts anew."""

    def cached_tokens(self, replica: str, hashes: Sequence[int]) -> int:
        """How many leading tokens of the prompt it has cached, as far as is known."""


class _Turns:
    """Goes round by name, whoever comes and goes meanwhile."""

    def __init__(self) -> None:
        self._last = ""

    def take(self, candidates: Sequence[C]) -> C | None:
        if not candidates:
            return None
        chosen = min(candidates, key=lambda c: (c.name <= self._last, c.name))
        self._last = chosen.name
        return chosen


class _Unaware:
    """Knows nothing of prefixes."""

    needs_hashes = False

    def __init__(self) -> None:
        self._turns = _Turns()

    def placed(self, replica: str, hashes: Sequence[int], capacity: int) -> None:
        pass

    def observed(self, replica: str, hashes: Sequence[int], cached_blocks: int) -> None:
        pass

    def forget(self, replica: str) -> None:
        pass

    def cached_tokens(self, replica: str, hashes: Sequence[int]) -> int:
        return 0


class RoundRobin(_Unaware):
    """One after the other by name."""

    def choose(self, candidates: Sequence[C], hashes: Sequence[int]) -> C | None:
        return self._turns.take(candidates)


class LeastLoaded(_Unaware):
    """The one with the least load; equals in turn."""

    def choose(self, candidates: Sequence[C], hashes: Sequence[int]) -> C | None:
        least = min((c.load for c in candidates), default=0)
        return self._turns.take([c for c in candidates if c.load == least])


class PrefixAffinity:
    """The one with the least load less what it saves of this prompt; equals in turn.

    What a replica saves is what it has cached of the prompt, less half of what the rest would push
    out of a full cache (half, for not all of that would be wanted again). It counts for nothing
    below `_FREE_TOKENS` or an eighth of the prompt: such a match is the chat template's, every
    prompt has it, and all of them would go to the one replica that happened to be the first.

    Bound: the chosen one's load exceeds the least by at most the prompt tokens cached there. (Let c
    be chosen and m be the least loaded: load_c - saved_c <= load_m - saved_m <= load_m, and
    saved_c <= cached_c.) With the rest of the prompt and what it generates added, its load is then
    at most the least plus this whole sequence: by placing alone, loads never come to differ by more
    than the longest sequence, however many prompts begin alike. A replica gets its copy of a shared
    prefix as soon as the others are busier by more than that prefix costs.

    One token saved weighs as much as one token of load. A generated token takes longer than one of
    a prompt, but it takes that time in a batch: what it adds to the steps of the others is about
    what one more prompt token adds, its share of arithmetic and the reading of its keys and values.
    On a roofline model of an 8B model on four GPUs, heavier weights gained next to nothing in time
    to first token while replicas were busy, and lost much where one long prefix was common to all:
    from a weight of 4 on, every prompt went to one replica. Half the weight lost cached tokens.
    """

    needs_hashes = True

    def __init__(self, block_size: int) -> None:
        self._block_size = block_size
        self._index = PrefixIndex()
        self._turns = _Turns()

    def choose(self, candidates: Sequence[C], hashes: Sequence[int]) -> C | None:
        ranked = [(self._rank(c, hashes), c) for c in candidates]
        best = min((rank for rank, _ in ranked), default=None)
        return self._turns.take([c for rank, c in ranked if rank == best])

    def placed(self, replica: str, hashes: Sequence[int], capacity: int) -> None:
        self._index.add(replica, hashes, capacity)

    def observed(self, replica: str, hashes: Sequence[int], cached_blocks: int) -> None:
        self._index.correct(replica, hashes, cached_blocks)

    def forget(self, replica: str) -> None:
        self._index.forget(replica)

    def cached_tokens(self, replica: str, hashes: Sequence[int]) -> int:
        return self._index.match(replica, hashes) * self._block_size

    def _rank(self, candidate: Candidate, hashes: Sequence[int]) -> tuple[int, int]:
        saved = self._saved(candidate.name, hashes)
        return candidate.load - saved, -saved

    def _saved(self, replica: str, hashes: Sequence[int]) -> int:
        cached = self._index.match(replica, hashes)
        if cached * self._block_size < _FREE_TOKENS or 8 * cached < len(hashes):
            return 0
        displaced = self._index.displaced(replica, len(hashes) - cached)
        return max(0, (2 * cached - displaced) * self._block_size // 2)


POLICIES: Mapping[str, Callable[[int], Placement]] = {
    "prefix": PrefixAffinity,
    "least_loaded": lambda block_size: LeastLoaded(),
    "round_robin": lambda block_size: RoundRobin(),
}
"""By name, given the engines' block size in tokens."""
