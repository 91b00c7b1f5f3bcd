"""How much more an engine replica should be given now. Pure.

Requests wait in the router and not in the engine, so an engine gets just what it can start: it has
a free slot, its cache holds the prompt, and the prompts on their way to it fill its next steps.
Where several routers feed one engine, each takes its share of what is free.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

PREFILL_STEPS = 2
"""Prompts on their way fill so many steps: with one, every other step would find none, as an
engine's next step begins before the router has heard of the last one."""
KV_MARGIN = 0.05
"""Share of the cache that is left for those who run already to grow."""
RESERVED_SHARE = 16
"""One slot in so many is kept for those who hold few: a flood must not take the last one."""


@dataclass(frozen=True)
class Capacity:
    """What an engine can hold."""

    max_num_seqs: int
    kv_cache_tokens: int
    """0 for a model that keeps none of what it takes in."""
    max_num_batched_tokens: int

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Capacity":
        """By what an engine replica says of itself.

        What is pooled ends with the step that takes it in, so the next step's must be on their way.
        """
        slots = facts["max_num_seqs"] * (PREFILL_STEPS if facts.get("pooling") else 1)
        return cls(slots, facts["kv_cache_tokens"], facts["max_num_batched_tokens"])

    @property
    def reserved(self) -> int:
        """Slots for those who hold no more than that."""
        return self.max_num_seqs // RESERVED_SHARE


class Room(NamedTuple):
    """What one router may still send to one engine."""

    slots: int
    """Sequences, reserved slots included."""
    reserved: int
    kv_tokens: float
    prefill_tokens: int
    """Of prompts; those who hold few have as much again, as they go ahead in the engine."""
    reserved_tokens: int
    idle: bool
    """Nothing is there: it takes whatever comes, or nobody ever would."""

    @property
    def is_general(self) -> bool:
        """Whether there is a slot for everyone."""
        return self.slots > self.reserved and self._takes_prompts

    @property
    def is_reserved(self) -> bool:
        """Whether there is a slot at least for those who hold few."""
        return self.slots > 0 and self._takes_prompts

    @property
    def is_for_few(self) -> bool:
        """Whether there is a slot at least for those who hold few, as `holdings` has it."""
        return self.slots > 0 and (self.idle or self.prefill_tokens + self.reserved_tokens > 0)

    def fits(self, tokens: int) -> bool:
        """Whether the cache has place for a sequence of so many tokens."""
        return self.idle or tokens <= self.kv_tokens

    @property
    def _takes_prompts(self) -> bool:
        return self.idle or self.prefill_tokens > 0


def room(
    capacity: Capacity,
    *,
    in_flight: int,
    others: int,
    routers: int,
    kv_cache_usage: float,
    prefilling: int,
    sent: int = 0,
) -> Room:
    """The room left, given this router's sequences there and the engine's last report.

    `in_flight` are this router's and `others` other routers' sequences; `prefilling` counts the
    tokens of this router's prompts of which nothing has come back yet, which the report may not
    include. `sent` of its sequences were sent after the report: they come out of its own share.
    """
    free = capacity.max_num_seqs - (in_flight - sent) - others
    kv_free = (1 - KV_MARGIN - kv_cache_usage) * capacity.kv_cache_tokens - prefilling
    if not capacity.kv_cache_tokens:
        kv_free = math.inf
    window = max(1, PREFILL_STEPS * capacity.max_num_batched_tokens // routers)
    return Room(
        slots=max(0, math.ceil(free / routers) - sent),
        reserved=capacity.reserved // routers,
        kv_tokens=kv_free,
        prefill_tokens=window - prefilling,
        reserved_tokens=window,
        idle=in_flight + others == 0,
    )
