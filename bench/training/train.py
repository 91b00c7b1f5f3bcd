"""The training itself: batches in, a model out, the same one for the same seed and threads."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.optim import AdamW, Optimizer
from tqdm import tqdm

from bench.training import batches, scoring
from bench.training.batches import Batch, Encoded, grouped
from bench.training.model import Llama
from bench.training.muon import Muon
from deployments.llama_layout import Shape

THREADS = 2
"""Sums come out differently in other numbers of threads, and so would the model."""


@dataclass(frozen=True)
class Plan:
    """What there is to choose about a training."""

    batch_tokens: int = 4096
    learning_rate: float = 0.01
    """Of the matrices; the other weights have `other_rate`."""
    other_rate: float = 0.0035
    weight_decay: float = 0.05
    warm_up: float = 0.03
    """As a share of all steps."""
    prompt_share: float = 0.1
    """So many of the tokens of a prompt are to be foretold, too: it teaches copying early."""
    looks: int = 20
    """How often the held-out examples are looked at."""
    compiled: bool = True
    """Whether layers are compiled, which needs a C++ compiler and saves a fifth of the time."""


@dataclass
class Course:
    """How it went: what the plot shows."""

    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    looks: list[tuple[int, float, Mapping[str, float]]] = field(default_factory=list)
    """Step, loss on held-out answers, and the share of right ones by task."""


def train(
    shape: Shape,
    plan: Plan,
    chats: Sequence[Encoded],
    held_out: Sequence[Encoded],
    seed: int,
    say: Callable[[str], None] = tqdm.write,
) -> tuple[Llama, Course]:
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
    model = Llama(shape)
    if plan.compiled:
        for layer in model.model["layers"]:
            layer.compile(dynamic=True)
    course = Course()
    draw = random.Random(seed)
    steps = grouped(chats, plan.batch_tokens, draw)
    optimizers = _optimizers(model, plan)
    between = max(1, len(steps) // plan.looks)
    for step, group in enumerate(bar := tqdm(steps, "training", unit=" steps", mininterval=1.0)):
        batch = batches.batch(group, draw, plan.prompt_share)
        _rate(optimizers, _share_of_rate(step / len(steps), plan.warm_up))
        loss = _step(model, optimizers, batch)
        course.steps.append(step)
        course.losses.append(loss)
        bar.set_postfix(loss=f"{loss:.3f}")
        if (step + 1) % between == 0:
            shares, held_out_loss = scoring.right(model, held_out)
            course.looks.append((step, held_out_loss, shares))
            say(f"step {step + 1}: held out {held_out_loss:.3f}, right: {_said(shares)}")
    return model, course


def _step(model: Llama, optimizers: Sequence[Optimizer], batch: Batch) -> float:
    states = model(batch.tokens, torch.bfloat16).flatten(0, 1)
    logits = model.logits(states.index_select(0, batch.where))
    losses = F.cross_entropy(logits.float(), batch.target, reduction="none")
    loss = (losses * batch.weight).sum() / batch.weight.sum()
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return float(loss.detach())


def _optimizers(model: Llama, plan: Plan) -> list[Optimizer]:
    """Muon for the matrices, Adam for the embedding and the norms."""
    named = list(model.named_parameters())
    matrices = [weight for name, weight in named if _is_inner_matrix(name, weight)]
    others = [weight for name, weight in named if not _is_inner_matrix(name, weight)]
    made: list[Optimizer] = [
        Muon(matrices, lr=plan.learning_rate, weight_decay=plan.weight_decay),
        AdamW(others, lr=plan.other_rate, betas=(0.9, 0.95), weight_decay=0.0, foreach=True),
    ]
    for group in (group for one in made for group in one.param_groups):
        group["full_rate"] = group["lr"]
    return made


def _is_inner_matrix(name: str, weight: nn.Parameter) -> bool:
    return weight.ndim == 2 and "embed" not in name


def _rate(optimizers: Sequence[Optimizer], share: float) -> None:
    for group in (group for one in optimizers for group in one.param_groups):
        group["lr"] = group["full_rate"] * share


def _share_of_rate(done: float, warm_up: float) -> float:
    """Up in a straight line, then down to nothing in another."""
    return min(done / warm_up + 0.01, (1 - done) / (1 - warm_up), 1.0)


def _said(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{task} {share:.0%}" for task, share in shares.items())
