"""A hash of every sequence's tokens, in arrays: the whole memory of the simulated model.

The next token is drawn by the hash of all tokens before it, prompt or output, and of the sampling
seed, so it depends on neither the batch nor the cache, and a sequence that is resumed elsewhere
from its prompt and the tokens so far goes on as it would have here.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Slots = NDArray[np.intp]

_FIRST_SLOTS = 256
_POSITION_BITS = np.uint64(32)  # token ids stay below


def mix(values: Hashes) -> Hashes:
    """SplitMix64's output function (Steele, Lea and Flood, 2014); sums wrap around on purpose."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _terms(token_ids: NDArray[np.int64], positions: NDArray[np.int64]) -> Hashes:
    """What each token at its position adds to the hash of its sequence."""
    return mix((positions.astype(np.uint64) << _POSITION_BITS) ^ token_ids.astype(np.uint64))


class Contexts:
    """The hash of each live sequence, by slot; slots are found by name."""

    def __init__(self) -> None:
        self._slots: dict[str, int] = {}
        self._free: list[int] = []
        self._seeds: Hashes = np.zeros(_FIRST_SLOTS, np.uint64)
        self._hashes: Hashes = np.zeros(_FIRST_SLOTS, np.uint64)

    def __contains__(self, name: str) -> bool:
        return name in self._slots

    def add(self, name: str, token_ids: Sequence[int], seed: int | None) -> int:
        """Begin a sequence, or begin it anew, and return its slot."""
        slot = self._slots.get(name)
        if slot is None:
            slot = self._slots[name] = self._free.pop() if self._free else len(self._slots)
            if slot >= len(self._hashes):
                self._seeds = np.concatenate([self._seeds, np.zeros_like(self._seeds)])
                self._hashes = np.concatenate([self._hashes, np.zeros_like(self._hashes)])
        self._seeds[slot] = 0 if seed is None else (seed + 1) % 2**64
        self.reset(name, token_ids)
        return slot

    def reset(self, name: str, token_ids: Sequence[int]) -> None:
        """Say anew which tokens a sequence has."""
        tokens = np.array(token_ids, np.int64)
        slot = self._slots[name]
        mine = slice(slot, slot + 1)  # arrays wrap around in silence, scalars warn
        self._hashes[mine] = mix(self._seeds[mine])
        self._hashes[mine] += _terms(tokens, np.arange(len(tokens))).sum()

    def drop(self, names: Iterable[str]) -> None:
        """Forget sequences; unknown names are passed over."""
        for name in names:
            slot = self._slots.pop(name, None)
            if slot is not None:
                self._free.append(slot)

    def slots(self, names: Sequence[str]) -> Slots:
        """The slot of each name."""
        return np.fromiter(map(self._slots.__getitem__, names), np.intp, len(names))

    def draws(self, slots: Slots) -> Hashes:
        """A random number for the next token of each sequence."""
        return mix(self._hashes[slots])

    def append(
        self, slots: Slots, token_ids: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> None:
        """Add one token to each sequence."""
        self._hashes[slots] += _terms(token_ids, positions)
