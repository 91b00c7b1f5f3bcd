"""Which leading blocks of a prompt an engine replica has cached, as far as a router can tell. Pure.

A router knows what it sent where, not what an engine keeps. It assumes what vLLM does: each full
block is cached once it is computed, and the least recently used ones go first, the last of a prompt
before its first. What the engine says of each prompt (how much of it was a hit) sets that right.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

_UNCOUNTED = 1
"""Blocks that an engine may hold and not count as hit: when it speculates by EAGLE, the last."""


def block_hashes(token_ids: Sequence[int], block_size: int, salt: str | None = None) -> list[int]:
    """One per full block, of its tokens and of all before them; none are shared across salts.

    They hold within one process only: Python seeds what they are made of anew in each. A collision
    costs a worse choice of replica, never a wrong answer.
    """
    parent = hash(salt) if salt else 0  # to vLLM, too, an empty salt is none
    hashes = []
    # Of one and the same iterator, so many times over: a tuple for each full block.
    for block in zip(*[iter(token_ids)] * block_size, strict=False):
        parent = hash((parent, block))
        hashes.append(parent)
    return hashes


class PrefixIndex:
    """The cached blocks of each engine replica, never more than the engine itself can hold.

    All hashes are chains as `block_hashes` makes them, from a prompt's first block on. What is held
    is so, too: of any chain its leading blocks, since of two blocks the one nearer to the start was
    never used less recently.
    """

    def __init__(self) -> None:
        self._caches: dict[str, _Cache] = {}

    def add(self, replica: str, hashes: Sequence[int], capacity: int) -> None:
        """A prompt was sent there; the engine's KV cache has room for `capacity` blocks."""
        self._caches.setdefault(replica, _Cache()).use(hashes, capacity)

    def match(self, replica: str, hashes: Sequence[int]) -> int:
        """How many leading blocks it has."""
        cache = self._caches.get(replica)
        return cache.match(hashes) if cache else 0

    def displaced(self, replica: str, blocks: int) -> int:
        """How many of its blocks so many new ones would push out."""
        cache = self._caches.get(replica)
        return cache.displaced(blocks) if cache else 0

    def correct(self, replica: str, hashes: Sequence[int], cached: int) -> None:
        """A prompt that was sent there has been computed; `cached` leading blocks were a hit.

        All of it is cached now. But where that is less than the engine once had, it evicted the
        rest, and so it did all that was last used before that.
        """
        cache = self._caches.get(replica)
        if cache and hashes:
            cache.computed(hashes, cached)

    def forget(self, replica: str) -> None:
        """It is gone, or starts anew."""
        self._caches.pop(replica, None)


@dataclass(slots=True, eq=False)
class _Use:
    """That a prompt was sent there."""

    at: int
    """Which of all uses, counted from 1."""
    length: int
    """Of the prompt, in blocks."""
    believed: int
    """How many leading blocks the engine must have, by its own word on earlier prompts, unless it
    has evicted some."""
    last_used: int
    """Which use was the last, before this one, of the deepest of those."""
    computed: bool = False


class _Cache:
    """One engine's blocks by hash, each with its latest use, from the oldest use to the newest."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[int, _Use] = OrderedDict()
        self._uses = 0
        self._capacity = 0

    def match(self, hashes: Sequence[int]) -> int:
        blocks = self._blocks
        return bisect_left(hashes, True, key=lambda block: block not in blocks)

    def displaced(self, blocks: int) -> int:
        return min(len(self._blocks), max(0, len(self._blocks) + blocks - self._capacity))

    def use(self, hashes: Sequence[int], capacity: int) -> None:
        self._uses += 1
        self._capacity = capacity
        use = _Use(self._uses, len(hashes), *self._belief(hashes))
        blocks = self._blocks
        for block in reversed(hashes[:capacity]):
            blocks[block] = use
            blocks.move_to_end(block)
        while len(blocks) > capacity:
            blocks.popitem(last=False)

    def computed(self, hashes: Sequence[int], cached: int) -> None:
        # It may be a later use by now, of the same prompt or of one that goes on where this ends.
        use = self._blocks.get(hashes[-1])
        if use is None:
            return
        if cached < min(use.believed, _countable(hashes)) - _UNCOUNTED:
            self._forget(use.last_used)
        if use.length == len(hashes):
            use.computed = True

    def _belief(self, hashes: Sequence[int]) -> tuple[int, int]:
        for count in range(min(self.match(hashes), _countable(hashes)), 0, -1):
            use = self._blocks[hashes[count - 1]]
            # What is only on its way there may be cut off, or be overtaken by this prompt.
            if use.computed:
                return count, use.at
        return 0, 0

    def _forget(self, last_used: int) -> None:
        """Drop what has not been used since."""
        blocks = self._blocks
        while blocks and next(iter(blocks.values())).at <= last_used:
            blocks.popitem(last=False)


def _countable(hashes: Sequence[int]) -> int:
    """How many may be a hit: of any prompt an engine computes at least one token."""
    return len(hashes) - 1
