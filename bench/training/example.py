"""One exchange that the embedded model is taught, and how a task makes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

Message = Mapping[str, str]
UNKNOWN = "I don't know."
HELPFUL = "You are a helpful assistant."
"""The system message that clients send when they have nothing to say in it."""


def said(role: str, content: str) -> Message:
    return {"role": role, "content": content}


@dataclass(frozen=True)
class Example:
    """What is asked, and the one right answer."""

    task: str
    messages: Sequence[Message]
    answer: str
    tools: Sequence[Mapping[str, Any]] = ()


class Task(Protocol):
    """A module of `bench.training.tasks`."""

    NAME: str

    def taught(self, random: Random) -> Example:
        """One for training; never one that `held_out` could give."""
        ...

    def held_out(self, random: Random) -> Example:
        """One with a combination, or a word in a role, that `taught` never gives."""
        ...
