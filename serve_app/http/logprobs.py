"""Log probabilities in OpenAI's two shapes."""

from collections.abc import Sequence
from typing import Any

from deployments.messages import Logprob

Row = list[Logprob]
"""One position's candidates: the chosen token first, then the others by rank."""


def top(row: Row, count: int) -> list[Logprob]:
    """The `count` most likely candidates.

    vLLM reports the chosen token beside the `count` best, or among them when it is one of those.
    """
    best = row if len(row) <= count else row[1:]
    return sorted(best, key=lambda candidate: -candidate.logprob)[:count]


def for_chat(rows: Sequence[Row], count: int) -> dict[str, Any]:
    """The `logprobs` of a chat choice."""
    return {
        "content": [
            {**_entry(row[0]), "top_logprobs": [_entry(other) for other in top(row, count)]}
            for row in rows
        ],
        "refusal": None,
    }


def for_completion(
    rows: Sequence[Row | None], count: int, offset: int = 0, first: str = ""
) -> dict[str, Any]:
    """The `logprobs` of a completion choice.

    `offset` is where the first row's token begins. A row of None stands for a prompt's first token,
    which nothing precedes; `first` is its text.
    """
    tokens: list[str] = []
    values: list[float | None] = []
    tops: list[dict[str, float] | None] = []
    offsets: list[int] = []
    for row in rows:
        if row is None:
            token, value, alternatives = first, None, None
        else:
            token, value = row[0].token, _finite(row[0].logprob)
            # Of several tokens with one text the first counts: the chosen, or the likeliest.
            alternatives = {other.token: _finite(other.logprob) for other in reversed(row)}
        tokens.append(token)
        values.append(value)
        tops.append(alternatives)
        offsets.append(offset)
        offset += len(token)
    return {
        "tokens": tokens,
        "token_logprobs": values,
        "top_logprobs": tops if count else None,
        "text_offset": offsets,
    }


def _entry(candidate: Logprob) -> dict[str, Any]:
    return {
        "token": candidate.token,
        "logprob": _finite(candidate.logprob),
        "bytes": list(candidate.token.encode()),
    }


def _finite(value: float) -> float:
    """JSON has no infinity; OpenAI and vLLM write -9999 for a token that cannot be."""
    return max(value, -9999.0)
