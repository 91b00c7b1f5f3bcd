"""How long a request would wait for its first token. Pure: the caller brings the clock.

It learns from what engines report: how fast they work (cost units a second, see `ticket.work`),
how long a placed sequence takes to its first token, and how long answers are. A prediction has
three parts: until a slot is free, until the prompts before it are taken in, and the time in the
engine itself. What comes of the predictions is accounted for, not fed back: who waits longer than
predicted is dropped at its deadline and never seen, and the rest would teach that all predictions
are too long.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_WEIGHT = 0.1
"""Of the newest observation in a moving average."""
_RUNNING_STEP = 0.5  # what is left, on average, of the step that runs when a sequence comes
_FORGETTING = 1.001


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
    remaining: Sequence[float]
    """How many tokens each running sequence is expected to generate yet, ascending."""
    step_s: float
    """What an engine step takes, as engines report it; 0 if they do not know yet."""
    output: float
    """How many tokens an answer is expected to have."""
    prefilling: float
    """Tokens of prompts that engines are taking in, beyond what they may have on its way to them:
    less than 0 while they may have more."""
    on_the_way: float
    """Tokens of prompts that engines have to take in, all of them."""
    prompts_ahead: float
    """Tokens of the prompts of those who wait and would start before it."""
    steps: float
    """Engine steps to the first token of the request itself, once an engine has it."""


class Forecast:
    """Predicts waits, and keeps an account of how well."""

    def __init__(self) -> None:
        self._rate = Average()
        self._prefill_rate = Average()
        self._pace = Average()
        self._step = Average()
        self._fastest = 0.0
        """A step at its shortest; forgotten slowly, as what serves may change."""
        self._output = Average()
        self.error_s = Average()
        """Of the predicted time to the first token: absolute, moving average, in seconds."""

    def served(self, cost: float, prompt_tokens: float, seconds: float) -> None:
        """So much was worked off in a window of time in which work was waiting all along."""
        if cost > 0:
            self._rate.add(cost / seconds)
        if prompt_tokens > 0:
            self._prefill_rate.add(prompt_tokens / seconds)

    def paced(self, running: int, tokens: int, seconds: float) -> None:
        """So many sequences, in all the slots there are, have had so many tokens in a window."""
        if tokens > 0:
            self._pace.add(running * seconds / tokens)

    def began(self, seconds: float, steps: float) -> None:
        """A placed sequence has had its first token, after so long and so many steps' work."""
        self._step.add(seconds / steps)
        self._fastest = min(seconds / steps, self._fastest * _FORGETTING or math.inf)

    def ended(self, output_tokens: int) -> None:
        """An answer has come to its own end, or to its limit, after so many tokens."""
        self._output.add(output_tokens)

    def settle(self, predicted_s: float, actual_s: float) -> None:
        """What has come of a prediction."""
        self.error_s.add(abs(actual_s - predicted_s))

    def output_tokens(self, max_tokens: int) -> float:
        """How long an answer is expected to be that may have so many tokens."""
        return min(max_tokens, max(1.0, self._output.or_else(max_tokens)))

    @property
    def rate(self) -> float | None:
        """Cost units a second that the engines work off when there is enough to do."""
        return self._rate.value

    def first_token_s(self, situation: Situation) -> float:
        """How long a request would wait for its first token."""
        wait = max(self._slot_s(situation), self._prefill_s(situation))
        return wait + self.engine_s(situation.steps, situation.step_s, situation.on_the_way)

    def engine_s(self, steps: float, step_s: float, on_the_way: float) -> float:
        """How long so many steps' work takes an engine, behind so many tokens of other prompts.

        As it took of late, or by the steps that engines report if those are short now: what it took
        may be long ago, and nothing new is learned while all are refused.
        """
        of_late = steps * self._step.or_else(0.0)
        if not step_s:
            return of_late
        return min(of_late, (steps + _RUNNING_STEP) * step_s + self._taken_in_s(on_the_way))

    def _slot_s(self, situation: Situation) -> float:
        """Until those ahead have begun and a slot is free.

        By then all slots are taken: by what runs now, and by those who take the free ones. The
        j-th of them ends at t_j. Whoever follows has its prompt taken in, which takes tau and
        happens one after the other: the k-th waits until the latest of t_j + (k - j) tau. Behind
        as many as there are slots, it goes at the engines' rate.
        """
        turn = situation.jobs_ahead - situation.free_slots
        slots = len(situation.remaining) + situation.free_slots
        if turn < 0 or not slots:
            return 0.0
        pace = self._pace.or_else(situation.step_s)
        tau = self._taken_in_s(situation.prompts_ahead) / max(1.0, situation.jobs_ahead)
        last = min(int(turn), slots - 1)
        ends = [tokens * pace for tokens in situation.remaining[: last + 1]]
        ends += [j * tau + situation.output * pace for j in range(1, situation.free_slots + 1)]
        wait = max(ends[j] + (last - j) * tau for j in range(last + 1))
        behind = max(0.0, turn - slots) / max(1.0, situation.jobs_ahead)
        rate = self._rate.value
        return wait + (behind * situation.cost_ahead / rate if rate else 0.0)

    def _prefill_s(self, situation: Situation) -> float:
        return self._taken_in_s(max(0.0, situation.prefilling + situation.prompts_ahead))

    def least_in_engine_s(self, steps: float) -> float:
        """How long so many steps' work takes an engine that has nothing else to do."""
        return steps * self._fastest

    def half_done_s(self, remaining: Sequence[float], step_s: float) -> float:
        """Until half of what runs, with so many tokens left each (ascending), has ended."""
        return remaining[len(remaining) // 2] * step_s if remaining else 0.0

    def _taken_in_s(self, tokens: float) -> float:
        """How long engines need to take in so many tokens of prompts."""
        rate = self._prefill_rate.value
        return tokens / rate if rate else 0.0
