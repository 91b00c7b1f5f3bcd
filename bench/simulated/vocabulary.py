"""Which tokens the simulated model says."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

TokenIds = NDArray[np.int64]

# A word of its own: byte-level BPE writes the space before it as one mark, SentencePiece as the
# other. Such tokens make text that tokenizes into about the same tokens again.
_WORD = re.compile("[\u0120\u2581][A-Za-z]+")


class Vocabulary:
    """The words of a tokenizer, and the tokens that end a text."""

    def __init__(self, tokenizer: Any, size: int, end_ids: set[int]) -> None:
        """`size` is the model's, which may be smaller or larger than the tokenizer's."""
        tokens = tokenizer.convert_ids_to_tokens(range(min(size, len(tokenizer))))
        barred = end_ids | set(tokenizer.all_special_ids)
        ids = [i for i, t in enumerate(tokens) if t and _WORD.fullmatch(t) and i not in barred]
        if not ids:
            raise ValueError("the tokenizer has no token that is a word with the space before it")
        self.words: TokenIds = np.array(ids, np.int64)
        self._size = size
        self._ends = sorted(end_ids)

    def pick(self, draws: NDArray[np.uint64]) -> TokenIds:
        """A word for each draw."""
        picked: TokenIds = self.words[draws % np.uint64(len(self.words))]
        return picked

    def pick_allowed(self, draw: int, bitmask: NDArray[np.int32]) -> int:
        """A token of those whose bit is set; the end as soon as it is allowed."""
        bits = np.unpackbits(bitmask.view(np.uint8), bitorder="little")[: self._size]
        for end in self._ends:
            if bits[end]:
                return end
        allowed = np.flatnonzero(bits)
        return int(allowed[draw % len(allowed)])

    def alternatives(self, draws: NDArray[np.uint64], count: int) -> TokenIds:
        """For each draw the picked word and the `count` - 1 that follow it in the vocabulary."""
        words = len(self.words)
        first = (draws % np.uint64(words)).astype(np.int64)
        picked: TokenIds = self.words[(first[:, None] + np.arange(min(count, words))) % words]
        return picked
