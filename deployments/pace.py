"""How often readers look at what has come: some take longer the more there is.

vLLM's parsers look at all the text so far with each piece: of 16 KiB a millisecond or more, for
each token. Whoever is slow looks less often, and takes several tokens at once; all the slow ones
together take a share of the event loop's time and no more. Pure: the clock is given.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakSet

QUICK_S = 0.0002
"""A look that is no longer than this is not held against anybody."""
SHARE = 1 / 3
"""Of the time, for all that are slow together."""
LEAST_PAUSE = 10
"""How many times as long as its last look a slow reader waits, even alone."""


class Pace:
    """That of all the readers of one event loop."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self.now = now
        self.slow: WeakSet[Turn] = WeakSet()
        """Whoever's last look was slow; those that are gone drop out by themselves."""

    def turn(self) -> "Turn":
        """One reader's."""
        return Turn(self)


class Turn:
    """When one reader may look again."""

    __slots__ = ("__weakref__", "_next", "_pace")

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._next = 0.0

    @property
    def has_come(self) -> bool:
        """Whether it may look now."""
        return not self._next or self._pace.now() >= self._next

    @contextmanager
    def look(self) -> Iterator[None]:
        """Measures a look."""
        pace = self._pace
        began = pace.now()
        try:
            yield
        finally:
            ended = pace.now()
            took = ended - began
            if took <= QUICK_S:
                pace.slow.discard(self)
                self._next = 0.0
            else:
                pace.slow.add(self)
                self._next = ended + took * max(LEAST_PAUSE, len(pace.slow) / SHARE)

    def end(self) -> None:
        """It looks no more."""
        self._pace.slow.discard(self)
