"""How long each stage of a start took."""

import time
from collections.abc import Mapping


class Stages:
    """Seconds by stage, from `began` (seconds since the epoch) on."""

    def __init__(self, began: float) -> None:
        self._last = began
        self.seconds: dict[str, float] = {}

    def ended(self, name: str, parts: Mapping[str, float] | None = None) -> None:
        """A stage has ended now. Of what is known of its `parts`, each is a stage of its own."""
        now = time.time()
        known = dict(parts or {})
        self.seconds |= {name: now - self._last - sum(known.values()), **known}
        self._last = now

    @property
    def total_s(self) -> float:
        return sum(self.seconds.values())

    def __str__(self) -> str:
        each = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.seconds.items())
        return f"{self.total_s:.1f} s ({each})"
