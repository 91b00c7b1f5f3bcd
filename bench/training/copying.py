"""Exercises in copying: a small model that cannot copy yet learns little else from its tasks.

A row of tokens without sense, then a part of it again. Where the part begins cannot be known; how
it goes on can, but only by looking up what came after the last token. That is what names need.
"""

import random
from collections.abc import Iterator

from bench.training.batches import Encoded
from bench.training.tokenizer import SPECIAL, VOCABULARY

NAME = "copying"
_BEFORE = [SPECIAL.index(token) for token in ("<|bos|>", "<|user|>")]
_BETWEEN = [SPECIAL.index(token) for token in ("<|end|>", "<|assistant|>")]
_LONGEST = 40


def exercises(count: int, draw: random.Random) -> Iterator[Encoded]:
    for _ in range(count):
        row = draw.sample(range(len(SPECIAL), VOCABULARY), draw.randint(6, _LONGEST))
        begin = draw.randrange(len(row) - 4)
        end = draw.randint(begin + 4, min(len(row), begin + 16))
        before = [*_BEFORE, *row, *_BETWEEN]
        yield Encoded(NAME, [*before, *row[begin:end]], len(before) + 1)


def mixed_in(chats: list[Encoded], share: float, until: float, seed: int) -> list[Encoded]:
    """`chats`, the first part of which (`until`, a share of them all) has exercises in between:
    `share` of them to one chat."""
    draw = random.Random(seed)
    first = int(until * len(chats))
    begun = chats[:first] + list(exercises(int(share * first), draw))
    draw.shuffle(begun)
    return begun + chats[first:]
