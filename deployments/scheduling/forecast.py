"""How long a request would wait for its first token. Pure: the caller brings the clock.

It learns from what engines report: how fast they work (cost units a second, see `ticket.work`),
how long a placed sequence takes to its first token, and how long answers are. A prediction has
three parts: until a slot is free, until the prompts before it are taken in, and the time in the
engine itself. What comes of each prediction corrects the next ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_WEIGHT = 0.1
"""Of the newest observation in a moving average."""
_BIAS_GAIN = 0.05
_BIAS_LIMIT = math.log(2.0)
_TOO_SHORT_S = 0.01  # to tell a bias from noise


class Average:
    """An exponential moving average that begins with its first observation."""

    __slots__ = ("_weight", "value")

    def __init__(self, weight: float = _WEIGHT) -> None:
        self._weight = weight
        self.value: float | None = None

    def add(self, observed: float) -> None:
        """Take in an observation."""
        value = observed if self.value is None else self.value
        self.value = value + self._weight * (observed - value)

    def or_else(self, otherwise: float) -> float:
        """The average, or `otherwise` while nothing has been observed."""
        return otherwise if self.value is None else self.value


@dataclass(frozen=True)
class Situation:
    """What a request would come into."""

    jobs_ahead: float
    """Waiting sequences that would start before it."""
    cost_ahead: float
    """And their cost."""
    free_slots: int
    """Sequences that the engines could start now."""
    remaining_s: Sequence[float]
    """How long each running sequence is expected to take yet, ascending."""
    prefilling: float
    """Tokens of prompts that engines are taking in, or will before this one's."""
    steps: float
    """Engine steps to the first token of the request itself, once an engine has it."""


class Forecast:
    """Predicts waits, and keeps an account of how well."""

    def __init__(self) -> None:
        self._rate = Average()
        self._prefill_rate = Average()
        self._step = Average()
        self._output = Average()
        self._bias = 0.0
        """Logarithm of the factor by which waits come out longer than the parts say."""
        self.error_s = Average()
        """Of the predicted time to the first token: absolute, moving average, in seconds."""

    def served(self, cost: float, prompt_tokens: float, seconds: float) -> None:
        """So much was worked off in a window of time in which work was waiting all along."""
        if cost > 0:
            self._rate.add(cost / seconds)
        if prompt_tokens > 0:
            self._prefill_rate.add(prompt_tokens / seconds)

    def began(self, seconds: float, steps: float) -> None:
        """A placed sequence has had its first token, after so long and so many steps' work."""
        self._step.add(seconds / steps)

    def ended(self, output_tokens: int) -> None:
        """An answer has come to its own end, or to its limit, after so many tokens."""
        self._output.add(output_tokens)

    def settle(self, predicted_s: float, actual_s: float, *, informed: bool = True) -> None:
        """What has come of a prediction; one made before the pace was known teaches nothing."""
        self.error_s.add(abs(actual_s - predicted_s))
        if informed and min(predicted_s, actual_s) > _TOO_SHORT_S:
            bias = self._bias + _BIAS_GAIN * math.log(actual_s / predicted_s)
            self._bias = min(_BIAS_LIMIT, max(-_BIAS_LIMIT, bias))

    def output_tokens(self, max_tokens: int) -> float:
        """How long an answer is expected to be that may have so many tokens."""
        return max(1.0, min(max_tokens, self._output.or_else(max_tokens)))

    def in_engine_s(self, steps: float) -> float:
        """How long so many steps' work takes an engine; 0 before the first token has come."""
        return steps * self._step.or_else(0.0)

    @property
    def rate(self) -> float | None:
        """Cost units a second that the engines work off when there is enough to do."""
        return self._rate.value

    def first_token_s(self, situation: Situation) -> float:
        """How long a request would wait for its first token."""
        wait = max(self._slot_s(situation), self._prefill_s(situation))
        return wait * math.exp(self._bias) + self.in_engine_s(situation.steps)

    def _slot_s(self, situation: Situation) -> float:
        """Until a slot is free: the k-th of the running ends, then those ahead end in turn."""
        turn = situation.jobs_ahead - situation.free_slots
        if turn < 0:
            return 0.0
        running = situation.remaining_s
        if turn < len(running):
            return running[int(turn)]
        behind = (turn - len(running)) / max(1.0, situation.jobs_ahead)
        rate = self._rate.value
        drained = behind * situation.cost_ahead / rate if rate else 0.0
        return (running[-1] if running else 0.0) + drained

    def _prefill_s(self, situation: Situation) -> float:
        rate = self._prefill_rate.value
        return situation.prefilling / rate if rate else 0.0
