"""Which answers the model gets right, word for word, without letting it write them.

Greedy decoding gives exactly the right answer when each token of it comes first behind the right
ones before. One look at the whole answer tells that of all of its tokens.
"""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812

from bench.training import batches
from bench.training.batches import Encoded, grouped
from bench.training.model import Llama

_TOKENS = 16_384


@torch.no_grad()  # type: ignore[untyped-decorator]
def right(model: Llama, chats: Sequence[Encoded]) -> tuple[Mapping[str, float], float]:
    """The share of right answers of each task, and the loss per token of all answers."""
    by_task: dict[str, list[bool]] = defaultdict(list)
    loss, tokens = 0.0, 0
    for task, some in _by_task(chats).items():
        for group in grouped(some, _TOKENS, random.Random(0)):
            batch = batches.batch(group, random.Random(0))
            states = model(batch.tokens, torch.bfloat16).flatten(0, 1)[batch.where]
            logits = model.logits(states).float()
            wrong = logits.argmax(-1) != batch.target
            misses = torch.zeros(len(batch.tokens)).index_add_(0, batch.rows, wrong.float())
            by_task[task] += (misses == 0).tolist()
            loss += F.cross_entropy(logits, batch.target, reduction="sum").item()
            tokens += len(batch.target)
    shares = {task: sum(found) / len(found) for task, found in by_task.items()}
    return shares, loss / max(1, tokens)


def _by_task(chats: Sequence[Encoded]) -> dict[str, list[Encoded]]:
    found: dict[str, list[Encoded]] = defaultdict(list)
    for chat in chats:
        found[chat.task].append(chat)
    return found
