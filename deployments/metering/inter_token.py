"""The time between a sequence's tokens, and whose it was. Pure."""

from typing import NamedTuple

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
    """Of what is answered whole, or of what is streamed, by one model."""

    def __init__(self) -> None:
        self._came = 0
        self.whole_s = Histogram(families.GAP_S)
        self.engine_s = Histogram(families.GAP_S)
        self.framework_s = Histogram(families.GAP_S)

    def observe(self, last: Moment, moment: Moment, share: int, times: int) -> None:
        """So many tokens came `share` in each delta, and those before them at `last`."""
        self.whole_s.observe((moment.at - last.at) / share, times)
        if last.made_at is not None and moment.made_at is not None:
            self.engine_s.observe((moment.made_at - last.made_at) / share, times)
        self._came += times

    def took(self, seconds: float) -> None:
        """So long was all that has been observed since the last call on its way."""
        self.framework_s.observe(seconds, self._came)
        self._came = 0
