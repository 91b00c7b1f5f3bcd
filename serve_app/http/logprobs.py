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


def for_completion(rows: Sequence[Row | None], count: int, offset: int = 0) -> dict[str, Any]:
    """The `logprobs` of a completion choice.

    `offset` is where the first token's text begins. A row of None is a prompt's first token,
    which nothing precedes.
    """
    tokens: list[str] = []
    values: list[float | None] = []
    tops: list[dict[str, float] | None] = []
    offsets: list[int] = []
    for row in rows:
        chosen = row[0] if row else None
        tokens.append(chosen.token if chosen else "")
        values.append(_finite(chosen.logprob) if chosen else None)
        tops.append({other.token: _finite(other.logprob) for other in row} if row else None)
        offsets.append(offset)
        offset += len(tokens[-1])
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
