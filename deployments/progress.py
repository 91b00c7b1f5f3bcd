"""Whether an engine makes progress. Pure: the caller brings the clock.

A flag that nobody cleared proves nothing (a stopped process clears none). What proves progress is
an answer: a step's output, or, when nothing has come for `quiet_s`, one token made for the purpose
(the canary). An engine that owes an answer for `stall_s` is stalled until it answers again.
"""

from dataclasses import dataclass


@dataclass
class Progress:
    """All times are monotonic seconds."""

    quiet_s: float = 2.0
    stall_s: float = 8.0
    _asked_at: float | None = None
    """When the answer was asked for that has not come; failed canaries do not change it."""
    _under_way: bool = False

    def canary_is_due(self, now: float, last_answer: float) -> bool:
        """True when the engine has been quiet and no canary is under way; notes that one now is."""
        if self._under_way or now - last_answer < self.quiet_s:
            return False
        self._under_way = True
        if self._asked_at is None:
            self._asked_at = now
        return True

    def canary_ended(self) -> None:
        """The canary has come back."""
        self._asked_at = None
        self._under_way = False

    def canary_failed(self) -> None:
        """There was no answer, and none will come to this canary."""
        self._under_way = False

    def progressing(self, now: float, last_answer: float) -> bool:
        """False while an answer is overdue."""
        if self._asked_at is None:
            return True
        return now - max(self._asked_at, last_answer) < self.stall_s
