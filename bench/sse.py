"""What the body of one completion says, read once when it is complete."""

import json
from dataclasses import dataclass

_EVENT_END = b"\n\n"
_DATA = b"data: "
_DONE = b"data: [DONE]"
_ERROR = b'{"error"'  # inside a JSON string the quotes would be escaped


@dataclass(frozen=True)
class Completion:
    """What is known of one answer. `error` is None only when the answer is whole."""

    output_tokens: int = 0
    events: int = 0
    """SSE events that bear tokens."""
    tokens_end: int = 0
    """Where in the body (bytes) the events that bear tokens end."""
    error: str | None = None


def read_stream(body: bytes) -> Completion:
    """Read a stream of SSE events whose last two are the usage and `[DONE]`."""
    if _ERROR in body:
        start = body.index(_ERROR)
        return Completion(error=_said(body[start : body.find(_EVENT_END, start)]))
    done = body.rfind(_DONE)
    if done < 0:
        return Completion(error="stream without [DONE]")
    end = done - len(_EVENT_END)  # of the usage event
    before = body.rfind(_EVENT_END, 0, max(end, 0))
    usage_at = 0 if before < 0 else before + len(_EVENT_END)
    tokens = _completion_tokens(body[usage_at + len(_DATA) : max(end, 0)])
    if tokens is None:
        return Completion(error="stream without usage")
    return Completion(tokens, body.count(_EVENT_END, 0, usage_at), usage_at)


def read_whole(body: bytes) -> Completion:
    """Read an answer that is one JSON object."""
    if body.startswith(_ERROR):
        return Completion(error=_said(body))
    tokens = _completion_tokens(body)
    if tokens is None:
        return Completion(error="answer without usage")
    return Completion(tokens, tokens_end=len(body))


def _completion_tokens(event: bytes) -> int | None:
    try:
        return int(json.loads(event)["usage"]["completion_tokens"])
    except (ValueError, KeyError, TypeError):
        return None


def _said(error: bytes) -> str:
    return "error: " + error.decode(errors="replace")[:200]
