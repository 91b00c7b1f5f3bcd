"""Examples as tokens, and batches of them of about the same length."""

import random
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch
from tokenizers import Tokenizer
from torch import Tensor

from bench.training.chat_text import prompt_of
from bench.training.example import Example
from bench.training.tokenizer import END, SPECIAL

WINDOW = 64
"""So many batches are made of the same examples, sorted by length."""
PROMPT_WEIGHT = 0.2
"""Of a token of a prompt; a whole answer of one token has 1."""
_AT_ONCE = 4096

Item = TypeVar("Item")


@dataclass(frozen=True)
class Encoded:
    """A chat, and where in it the answers are that are to be foretold."""

    task: str
    tokens: "array[int]"
    answers: Sequence[range]


@dataclass(frozen=True)
class Batch:
    """Rows of tokens padded at their ends; at the places `where` of them all, `target` is next."""

    tokens: Tensor
    where: Tensor
    target: Tensor
    weight: Tensor
    """How much each of `target` counts."""
    rows: Tensor
    """The row of each of `where`."""


def conversations(examples: Iterable[Example], tokenizer: Tokenizer) -> Iterator[Encoded]:
    """For training: all that the assistant says is an answer."""
    for task, tokens in _tokens(examples, tokenizer):
        yield Encoded(task, tokens, _answers(tokens))


def exchanges(examples: Iterable[Example], tokenizer: Tokenizer) -> Iterator[Encoded]:
    """For evaluation: the last answer only."""
    for task, tokens in _tokens(examples, tokenizer):
        yield Encoded(task, tokens, _answers(tokens)[-1:])


def _tokens(
    examples: Iterable[Example], tokenizer: Tokenizer
) -> Iterator[tuple[str, "array[int]"]]:
    for some in _batched(examples, _AT_ONCE):
        texts = [prompt_of(one) + one.answer + END for one in some]
        for example, text in zip(
            some, tokenizer.encode_batch_fast(texts, add_special_tokens=False), strict=True
        ):
            yield example.task, array("H", text.ids)


def _answers(tokens: "array[int]") -> list[range]:
    """Each begins behind the mark of the assistant and ends with the mark of the end."""
    assistant, end = SPECIAL.index("<|assistant|>"), SPECIAL.index(END)
    starts = [place + 1 for place, token in enumerate(tokens) if token == assistant]
    return [range(start, tokens.index(end, start) + 1) for start in starts]


def grouped(chats: Sequence[Encoded], size: int, draw: random.Random) -> list[list[Encoded]]:
    """All chats once, in groups of at most `size` tokens, padding included."""
    groups: list[list[Encoded]] = []
    for window in _batched(chats, WINDOW * size // _mean_length(chats)):
        cut = list(_cut(sorted(window, key=lambda chat: len(chat.tokens)), size))
        draw.shuffle(cut)
        groups += cut
    return groups


def batch(chats: Sequence[Encoded], draw: random.Random, prompt_share: float = 0.0) -> Batch:
    """All of the answers are to be foretold, and `prompt_share` of what is not answers.

    A token of an answer counts less the longer the answer is: one word decides as much as many do.
    """
    width = max(len(chat.tokens) for chat in chats)
    tokens = torch.zeros(len(chats), width, dtype=torch.long)
    where: list[int] = []
    target: list[int] = []
    weight: list[float] = []
    rows: list[int] = []
    for row, chat in enumerate(chats):
        tokens[row, : len(chat.tokens)] = torch.tensor(chat.tokens.tolist())
        weights = _weights(chat, draw, prompt_share)
        places = sorted(weights)
        where += [row * width + place - 1 for place in places]
        target += [chat.tokens[place] for place in places]
        weight += [weights[place] for place in places]
        rows += [row] * len(places)
    return Batch(
        tokens, torch.tensor(where), torch.tensor(target), torch.tensor(weight), torch.tensor(rows)
    )


def _weights(chat: Encoded, draw: random.Random, prompt_share: float) -> dict[int, float]:
    """By place: of the answers, and of some of the rest."""
    weights: dict[int, float] = {}
    if prompt_share:
        others = range(1, len(chat.tokens))
        weights = {place: PROMPT_WEIGHT for place in others if draw.random() < prompt_share}
    for answer in chat.answers:
        weights.update(dict.fromkeys(answer, len(answer) ** -0.5))
    return weights


def _cut(chats: Sequence[Encoded], size: int) -> Iterator[list[Encoded]]:
    some: list[Encoded] = []
    for chat in chats:
        if some and len(chat.tokens) * (len(some) + 1) > size:
            yield some
            some = []
        some.append(chat)
    if some:
        yield some


def _mean_length(chats: Sequence[Encoded]) -> int:
    return max(1, sum(len(chat.tokens) for chat in chats) // max(1, len(chats)))


def _batched(items: Iterable[Item], count: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while some := list(islice(iterator, count)):
        yield some
