"""The figures of tokens by kind of user, as text and as CSV."""

import csv
from collections.abc import Sequence
from pathlib import Path

from locust.stats import RequestStats, StatsEntry

from bench.locust.names import ANSWER, ITL, REFUSED, TOKENS_S, TTFT
from bench.table import table

_HEAD = ["name", "answers", "failed", "refused", "tokens", "tok/s", "tok/s of one p50"]
_PERCENTILES = (50, 95, 99)


def rows(kept: RequestStats) -> list[list[str]]:
    """A heading and a row for each kind of user."""
    head = [*_HEAD]
    for kind in (TTFT, ITL):
        head += [f"{kind} p{percent}" for percent in _PERCENTILES]
    names = sorted({name for name, _ in kept.entries})
    return [head, *(_row(kept, name) for name in names)]


def write(kept: RequestStats, path: Path) -> None:
    """The same as CSV: Locust's own has whole milliseconds, and not who was refused."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows(kept))


def text(kept: RequestStats) -> str:
    """Times in milliseconds; `tok/s` is of all answers together, over the whole time."""
    return table(rows(kept))


def _row(kept: RequestStats, name: str) -> list[str]:
    answers, refused = kept.entries.get((name, ANSWER)), kept.entries.get((name, REFUSED))
    sent, failed = (answers.num_requests, answers.num_failures) if answers else (0, 0)
    tokens = answers.total_content_length if answers else 0
    seconds = (kept.last_request_timestamp or 0) - kept.start_time
    figures = [sent - failed, failed, refused.num_requests if refused else 0, tokens]
    row = [name, *map(str, figures), f"{tokens / seconds:.1f}" if seconds > 0 else "-"]
    row += _percentiles(kept.entries.get((name, TOKENS_S)), (50,))
    for kind in (TTFT, ITL):
        row += _percentiles(kept.entries.get((name, kind)), _PERCENTILES)
    return row


def _percentiles(entry: StatsEntry | None, percents: Sequence[int]) -> list[str]:
    if entry is None or not entry.num_requests:
        return ["-"] * len(percents)
    return [f"{entry.get_response_time_percentile(percent / 100):g}" for percent in percents]
