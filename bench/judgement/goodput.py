"""What requests with a deadline for their first token came to. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.judgement.exchange import Outcome
from bench.stats import Percentiles, percentile


@dataclass(frozen=True, kw_only=True)
class Terms:
    """When a request was worth its tokens."""

    deadline_s: float
    """From sending to the first token."""
    tpot_s: float
    """For the stricter count: time for each token after the first, at the most."""
    start_s: float
    end_s: float
    """Tokens that come in this time count: the server has filled up, and requests still arrive."""

    def met(self, outcome: Outcome) -> bool:
        """Whether a request was answered in whole, its first token within the deadline."""
        ttft = outcome.ttft_s
        return outcome.whole and ttft is not None and ttft <= self.deadline_s

    def met_strictly(self, outcome: Outcome) -> bool:
        """Whether its other tokens came fast enough as well."""
        return self.met(outcome) and (outcome.tpot_s or 0.0) <= self.tpot_s

    def late(self, outcome: Outcome) -> bool:
        """Whether an engine worked on a request whose deadline had passed."""
        ttft = outcome.ttft_s
        return ttft is not None and ttft > self.deadline_s


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One stack under one rate."""

    sent: int
    answered: int
    refused: dict[str, int]
    """By code."""
    lost: dict[str, int]
    """By reason."""
    tok_s: float
    """Output tokens a second, whether in time or not."""
    goodput_tok_s: float
    strict_tok_s: float
    ttft_ms: Percentiles
    late: int
    """Requests whose first token came after their deadline."""
    latest_ms: float
    """By how much the latest of them missed it."""
    lag_p99_ms: float
    """How late the generator itself was in sending."""


def figures(outcomes: Sequence[Outcome], terms: Terms) -> Figures:
    """Sums up one traffic; what was sent again after a refusal does not count."""
    first = [one for one in outcomes if not one.attempt]
    late = [one for one in first if terms.late(one)]
    return Figures(
        sent=len(first),
        answered=sum(one.whole for one in first),
        refused=dict(Counter(one.code or "" for one in first if one.refused)),
        lost=dict(Counter(one.error or "" for one in first if one.lost)),
        tok_s=_rate(first, terms),
        goodput_tok_s=_rate(filter(terms.met, first), terms),
        strict_tok_s=_rate(filter(terms.met_strictly, first), terms),
        ttft_ms=Percentiles.of((one.ttft_s for one in first if one.ttft_s is not None), 1e3),
        late=len(late),
        latest_ms=max(((one.ttft_s or 0) - terms.deadline_s for one in late), default=0.0) * 1e3,
        lag_p99_ms=Percentiles.of((one.sent_at - one.due_at for one in first), 1e3).p99,
    )


@dataclass(frozen=True, kw_only=True)
class Foresight:
    """How far the predicted wait for the first token was from the actual one."""

    count: int
    error_p10_ms: float
    error_p50_ms: float
    error_p90_ms: float
    """Predicted less actual."""
    absolute_p50_ms: float


def points(outcomes: Sequence[Outcome]) -> list[tuple[float, float]]:
    """Predicted and actual wait for the first token in milliseconds, where both are known."""
    return [
        (one.predicted_ms, one.ttft_s * 1e3)
        for one in outcomes
        if one.predicted_ms is not None and one.ttft_s is not None
    ]


def foresight(found: Sequence[tuple[float, float]]) -> Foresight:
    """Of such points."""
    errors = sorted(predicted - actual for predicted, actual in found)
    return Foresight(
        count=len(errors),
        error_p10_ms=percentile(errors, 10),
        error_p50_ms=percentile(errors, 50),
        error_p90_ms=percentile(errors, 90),
        absolute_p50_ms=percentile(sorted(map(abs, errors)), 50),
    )


@dataclass(frozen=True, kw_only=True)
class Again:
    """What became of refused requests that were sent again when they had been told to."""

    sent: int
    admitted: int
    refused: int
    lost: int
    """With those that were sent once only."""


def again(outcomes: Sequence[Outcome]) -> Again:
    """Of one traffic."""
    later = [one for one in outcomes if one.attempt]
    return Again(
        sent=len(later),
        admitted=sum(one.whole for one in later),
        refused=sum(one.refused for one in later),
        lost=sum(one.lost for one in outcomes),
    )


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One request sent to a queue that only drains."""

    at_s: float
    """When it was let in, or refused."""
    told_s: float | None = None
    """When to come back, if it was refused and told."""
    admitted: bool = False


def told_over_true(probes: Sequence[Probe], resolution: float) -> list[float]:
    """What each refused probe was told to wait, over how long it would have had to.

    That time ends between the last probe that was refused and the first that was let in: in the
    middle. Probes for which it is less than `resolution` such gaps are too uncertain to count.
    """
    ordered = sorted(probes, key=lambda probe: probe.at_s)
    opening = next((pair for pair in pairwise(ordered) if pair[1].admitted), None)
    if opening is None:
        return []
    gap = opening[1].at_s - opening[0].at_s
    open_at = opening[0].at_s + gap / 2
    return [
        probe.told_s / (open_at - probe.at_s)
        for probe in ordered
        if probe.told_s is not None and open_at - probe.at_s >= resolution * gap
    ]


def _rate(outcomes: Iterable[Outcome], terms: Terms) -> float:
    tokens = sum(one.tokens_between(terms.start_s, terms.end_s) for one in outcomes)
    return tokens / (terms.end_s - terms.start_s)
