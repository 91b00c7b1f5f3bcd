"""Log probabilities in OpenAI's two shapes, and those of a prompt in vLLM's."""

from collections.abc import Callable, Sequence
from typing import Any

from deployments.messages import Logprob

Row = list[Logprob]
"""One position's candidates: the chosen token first, then the others by rank."""
Name = Callable[[Logprob], str]
"""How a token is told."""


def _by_text(candidate: Logprob) -> str:
    return candidate.token


def _by_id(candidate: Logprob) -> str:
    return f"token_id:{candidate.token_id}"


def name_of(as_ids: bool) -> Name:
    """Tokens as what they say, or as vLLM's names of their ids: texts may be equal, or no text."""
    return _by_id if as_ids else _by_text


def top(row: Row, count: int) -> list[Logprob]:
    """The `count` most likely candidates.

    vLLM reports the chosen token beside the `count` best, or among them when it is one of those.
    """
    best = row if len(row) <= count else row[1:]
    return sorted(best, key=lambda candidate: -candidate.logprob)[:count]


def for_chat(rows: Sequence[Row], count: int, name: Name = _by_text) -> dict[str, Any]:
    """The `logprobs` of a chat choice."""

    def entry(candidate: Logprob) -> dict[str, Any]:
        return {
            "token": name(candidate),
            "logprob": _finite(candidate.logprob),
            "bytes": list(candidate.token.encode()),
        }

    return {
        "content": [
            {**entry(row[0]), "top_logprobs": [entry(other) for other in top(row, count)]}
            for row in rows
        ],
        "refusal": None,
    }


def for_completion(
    rows: Sequence[Row | None],
    count: int,
    offset: int = 0,
    first: Logprob | None = None,
    name: Name = _by_text,
) -> dict[str, Any]:
    """The `logprobs` of a completion choice.

    `offset` is where the first row's token begins. A row of None stands for a prompt's first token,
    which nothing precedes: it is `first`.
    """
    tokens: list[str] = []
    values: list[float | None] = []
    tops: list[dict[str, float] | None] = []
    offsets: list[int] = []
    for row in rows:
        if row is None:
            assert first is not None
            token, value, alternatives = first, None, None
        else:
            token, value = row[0], _finite(row[0].logprob)
            # Of several tokens with one name the first counts: the chosen, or the likeliest.
            told = reversed(_best(row, count))
            alternatives = {name(other): _finite(other.logprob) for other in told}
        tokens.append(name(token))
        values.append(value)
        tops.append(alternatives)
        offsets.append(offset)
        offset += len(token.token)
    return {
        "tokens": tokens,
        "token_logprobs": values,
        "top_logprobs": tops,
        "text_offset": offsets,
    }


def for_prompt(rows: Sequence[Row | None], count: int) -> list[dict[str, Any] | None]:
    """The `prompt_logprobs` of an answer: for each token those at its place, by their ids."""
    return [
        None
        if row is None
        else {
            str(each.token_id): {
                "logprob": _finite(each.logprob),
                "rank": each.rank,
                "decoded_token": each.token,
            }
            for each in _best(row, count)
        }
        for row in rows
    ]


def _best(row: Row, count: int) -> Row:
    """The chosen token and the `count` best: a prompt's may have been asked for more of them."""
    return [each for index, each in enumerate(row) if not index or each.rank <= count]


def _finite(value: float) -> float:
    """JSON has no infinity; OpenAI and vLLM write -9999 for a token that cannot be."""
    return max(value, -9999.0)
