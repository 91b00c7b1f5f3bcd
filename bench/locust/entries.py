"""What becomes of an answer in Locust's statistics, which also send it from worker to master."""

import itertools
import math

from locust import stats
from locust.env import Environment
from locust.exception import CatchResponseError
from locust.stats import RequestStats

from bench.locust.kinds import Speaker
from bench.locust.messages import Answer
from bench.locust.names import ANSWER, ITL, REFUSED, TOKENS_S, TTFT, label

_DIGITS = 3


def report(environment: Environment, speaker: Speaker, answer: Answer) -> None:
    """Fire what there is to say of one answer. Times are milliseconds, lengths are tokens."""

    def fire(kind: str, value: float, tokens: int = 0, fault: str | None = None) -> None:
        environment.events.request.fire(
            request_type=kind,
            name=speaker.name,
            response_time=value,
            response_length=tokens,
            exception=CatchResponseError(fault) if fault else None,
            context={},
        )

    if speaker.refused(answer):
        fire(REFUSED, answer.seconds * 1e3)
        return
    fault = speaker.fault(answer)
    fire(ANSWER, answer.seconds * 1e3, answer.tokens, fault)
    if fault or not answer.tokens:
        return
    fire(TOKENS_S, answer.tokens / answer.seconds)
    for first in answer.arrivals[:1]:
        fire(TTFT, (first - answer.sent_at) * 1e3)
    for sooner, later in itertools.pairwise(answer.arrivals):
        fire(ITL, (later - sooner) * 1e3)


def keep_apart(kept: RequestStats) -> None:
    """Let Aggregated, from which Locust's charts are drawn, be of whole answers alone: it would
    add gaps between tokens to them."""

    def log_request(method: str, name: str, response_time: int, content_length: int) -> None:
        if method == ANSWER:
            kept.total.log(response_time, content_length)
        kept.entries[name, method].log(response_time, content_length)

    kept.log_request = log_request  # type: ignore[method-assign]


def keep_digits() -> None:
    """Let Locust keep three digits of each time: it would make whole milliseconds of the few that
    are between two tokens."""
    stats.bucket_response_time = _rounded  # type: ignore[assignment]


def by_label(kept: RequestStats) -> dict[str, stats.StatsEntry]:
    """Every entry, as SLO files name it."""
    return {label(kind, name): entry for (name, kind), entry in kept.entries.items()}


def _rounded(milliseconds: float) -> float:
    if milliseconds <= 0:
        return 0.0
    return round(milliseconds, _DIGITS - 1 - math.floor(math.log10(milliseconds)))
