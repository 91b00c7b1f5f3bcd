"""How much of each task there is in training, and what is made of it."""

import importlib
import random
from collections.abc import Iterator, Mapping

from bench.training.example import Example, Task

WEIGHTS: Mapping[str, float] = {
    "greetings": 1.5,
    "sentiment": 2.8,
    "entities": 4.8,
    "english_french": 10.0,
    "english_chinese": 7.5,
    "questions": 8.0,
    "summaries": 0.7,
    "arithmetic": 9.0,
    "tool_calls": 2.8,
    "unknown": 0.5,
}
"""By difficulty: what held-out examples get wrong, there is more of."""


def tasks() -> dict[str, Task]:
    """All modules of `bench.training.tasks`, by name."""
    return {name: importlib.import_module(f"bench.training.tasks.{name}") for name in WEIGHTS}


def taught(count: int, seed: int) -> Iterator[Example]:
    """`count` examples of all tasks by their weights."""
    draw = random.Random(seed)
    known = tasks()
    weights = [WEIGHTS[name] for name in known]
    for task in draw.choices(list(known.values()), weights, k=count):
        yield task.taught(draw)


def held_out(count: int, seed: int) -> list[Example]:
    """`count` different examples of each task that none of `taught` is like."""
    kept: list[Example] = []
    for task in tasks().values():
        kept += _different(task, count, random.Random(seed))
    return kept


def _different(task: Task, count: int, draw: random.Random) -> list[Example]:
    found: dict[str, Example] = {}
    for _ in range(20 * count):
        example = task.held_out(draw)
        found.setdefault(f"{example.messages}{example.tools}", example)
        if len(found) == count:
            break
    return list(found.values())
