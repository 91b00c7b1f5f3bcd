"""Who gets how many of the GPUs that several models share. Pure.

Every model gets its minimum, then every model that wants any gets one replica, the heaviest first;
what is left goes out replica by replica, each to the model that has least by its weight with it.
That is max-min fairness in whole replicas: nobody can have more without somebody having less who
has no more, by weight. A model gets no more than it wants, and its place in the order does not
depend on what it has had.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

_A_HAIR = 1e-9  # fractions of a GPU add up to whole ones only nearly


@dataclass(frozen=True, slots=True)
class Claim:
    """What one model asks for."""

    wanted: int
    """Replicas; not below `least`."""
    gpus: float
    """Of each replica. A model without any is not held to the budget."""
    least: int = 0
    weight: float = 1.0


def share(claims: Mapping[str, Claim], budget: float = math.inf) -> dict[str, int]:
    """How many replicas each model gets; the minimums must fit into the budget."""
    granted = {name: claim.least if claim.gpus else claim.wanted for name, claim in claims.items()}
    left = budget - sum(granted[name] * claim.gpus for name, claim in claims.items())
    order = sorted(claims, key=lambda name: (-claims[name].weight, name))
    open_to = [name for name in order if claims[name].gpus and granted[name] < claims[name].wanted]

    def has_with_one_more(name: str) -> tuple[int, float]:
        claim, has = claims[name], granted[name]
        return min(has, 1), (has + 1) * claim.gpus / claim.weight

    while open_to:
        name = min(open_to, key=has_with_one_more)
        claim = claims[name]
        if claim.gpus <= left + _A_HAIR:
            granted[name] += 1
            left -= claim.gpus
        if claim.gpus > left + _A_HAIR or granted[name] == claim.wanted:
            open_to.remove(name)
    return granted
