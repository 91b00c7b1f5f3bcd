"""The time between a sequence's tokens, and whose it was. Pure."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from deployments.messages import Delta
from deployments.metering import families
from deployments.metering.histogram import Histogram


class Moment(NamedTuple):
    """When an engine step's tokens came: one for the whole step, so that a token costs none."""

    at: float
    """By the router's clock."""
    made_at: float | None
    """When the engine core made them, by the clock of its host; None where that tells nothing,
    because another engine goes on, whose clock may be another."""
    kind: "InterToken"
    """Where the time from then to the next is counted."""


class InterToken:
    """Of what is answered whole, or of what is streamed, by one model.

    What is streamed is measured where it is shown (`Gaps`): between there and the engine's message
    lie the turns of all that the same message wakes, which move one gap in a hundred by a tenth.
    """

    def __init__(self, *, streamed: bool) -> None:
        self._streamed = streamed
        self._came = 0
        self.whole_s = Histogram(families.GAP_S)
        self.engine_s = Histogram(families.GAP_S)
        self.framework_s = Histogram(families.GAP_S)

    def observe(self, last: Moment, moment: Moment, share: int, times: int) -> None:
        """So many tokens came `share` in each delta, and those before them at `last`."""
        if not self._streamed:
            self.whole_s.observe((moment.at - last.at) / share, times)
        if last.made_at is not None and moment.made_at is not None:
            self.engine_s.observe((moment.made_at - last.made_at) / share, times)
        self._came += times

    def took(self, seconds: float) -> None:
        """So long was all that has been observed since the last call on its way."""
        self.framework_s.observe(seconds, self._came)
        self._came = 0


class Gaps:
    """Between the tokens of each sequence of one request, as its client is shown them."""

    __slots__ = ("_last", "_now", "_observe")

    def __init__(self, seconds: Histogram, count: int, now: Callable[[], float]) -> None:
        self._observe = seconds.observe
        self._last: list[float | None] = [None] * count
        self._now = now

    def shown(self, batch: Sequence[tuple[int, Delta]]) -> None:
        """These deltas, with the indexes of their sequences, have just been written."""
        at = self._now()
        for index, delta in batch:
            if count := len(delta.token_ids):
                last = self._last[index]
                if last is not None:
                    self._observe((at - last) / count, count)
                self._last[index] = at
