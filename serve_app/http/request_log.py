"""One line in the log for each request, written at its end from its record."""

from collections.abc import Callable, Mapping
from typing import Any, TextIO

import structlog

from deployments.log_format import Event
from deployments.logs import LogOptions, processors, stderr
from deployments.ticket import Hop, Ticket
from serve_app.http.record import LEFT, Record

LOGGER = "sluice.request"
_PROBES = frozenset({"/health", "/ready", "/metrics"})
"""What machines ask every few seconds."""
FIELDS = {
    "request_id": "The server's own id, which is the answer's header `x-request-id`.",
    "trace_id": "Of the trace that has the same request.",
    "method": "Of HTTP.",
    "endpoint": "The path as it is declared; `other` of what is none, and of what had no key.",
    "status": "Of HTTP; 499 is a client that left.",
    "error": "The code of the error that the client got, be it in a stream that had begun.",
    "model": "The model or adapter that was asked for, if there is one of that name.",
    "class": "`interactive`, `standard` or `batch`.",
    "tenant": "Whose request it was; `anonymous` where the server has no keys.",
    "key": "The id of the API key.",
    "n": "How many sequences: choices, or inputs that were pooled.",
    "stream": "Whether the answer was streamed.",
    "prompt_tokens": "As the client is told.",
    "completion_tokens": "Those that were on their way to the client, which may have left.",
    "cached_tokens": "Of the prompt's, those that an engine had cached.",
    "duration_ms": "From its headers to its end.",
    "framework_ms": (
        "To its place in the queue, without the wait for its body: validated, rendered, tokenized."
    ),
    "queue_ms": "In the router's queue, until an engine got it.",
    "ttft_ms": "From its coming to its first token, without the wait for its body.",
    "engines": "The replicas that worked on it, in their order.",
    "moves": "How often a sequence of it has gone on with another engine.",
    "finish_reasons": "Of its sequences, those that ended in order.",
}
"""What a request's line says beside what every line has, in this order."""
_GREEN, _YELLOW, _RED, _RESET = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[0m"


class RequestLog:
    """A reader of records that logs them.

    It does without Python's `logging`, which would cost several times as much; what it writes looks
    the same. A line is one write to standard error.
    """

    def __init__(self, options: LogOptions, file: TextIO | None = None) -> None:
        about: list[Any] = [structlog.processors.add_log_level]
        if options.format != "json":
            about.append(_Told(options.colors))
        self._logger = structlog.wrap_logger(
            structlog.WriteLogger(file or stderr()),
            processors=[*about, *processors(options)],
            wrapper_class=structlog.make_filtering_bound_logger(options.number),
            context_class=dict,
            cache_logger_on_first_use=True,
        ).bind()
        self._least = options.number

    def __call__(self, record: Record) -> None:
        level = level_of(record)
        if _NUMBERS[level] >= self._least:
            self._logger.log(_NUMBERS[level], "request", logger=LOGGER, **fields(record))


_NUMBERS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def level_of(record: Record) -> str:
    """How much it matters to who runs the server.

    What a client did wrong, or that it left, is no trouble of the server's, and many of them must
    not look like one. But somebody who is refused for who it is may be trying keys out.
    """
    if record.endpoint in _PROBES and record.status in {200, 503}:
        return "debug"
    if record.has_failed:
        return "error"
    return "warning" if record.status in {401, 403} else "info"


def fields(record: Record) -> dict[str, Any]:
    """What the line says (docs/logs.md); what is not known of a request is left out."""
    usage, tickets = record.usage, record.tickets
    hops = [hop for ticket in tickets for hop in ticket.hops]
    known = {
        "request_id": record.request_id or None,
        "trace_id": record.trace_id,
        "method": record.method,
        "endpoint": record.endpoint,
        "status": record.status,
        "error": record.error,
        "model": record.model,
        "class": None if record.level is None else record.level.name.lower(),
        "tenant": record.tenant,
        "key": record.key_id or None,
        "n": record.n or None,
        "stream": record.stream if record.n else None,
        "prompt_tokens": None if usage is None else usage.prompt_tokens,
        "completion_tokens": None if usage is None else usage.completion_tokens,
        "cached_tokens": None if usage is None else usage.cached_tokens,
        "duration_ms": _ms(record.began, record.ended),
        **_stages(record),
        "engines": list(dict.fromkeys(hop.engine for hop in hops)) or None,
        "moves": sum(len(ticket.hops) - 1 for ticket in tickets if ticket.hops) if hops else None,
        "finish_reasons": [t.finish_reason for t in tickets if t.finish_reason] or None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _stages(record: Record) -> dict[str, float | None]:
    """Where the time to the first token went, as the metrics have it."""
    if not record.tickets:
        return {}
    ticket, hop = _first(record.tickets)
    arrived, began = ticket.arrived_at, record.due_since
    placed = record.ended if hop is None else hop.placed_at
    first = None if hop is None else hop.first_at
    return {
        "framework_ms": _ms(began, arrived),
        "queue_ms": _ms(arrived, placed),
        "ttft_ms": None if first is None else _ms(began, first),
    }


def _first(tickets: list[Ticket]) -> tuple[Ticket, Hop | None]:
    """The sequence that began first, and the stay with an engine in which it did."""
    begun = [(hop.first_at, t, hop) for t in tickets for hop in t.hops if hop.first_at is not None]
    if begun:
        _, ticket, hop = min(begun, key=lambda each: each[0])
        return ticket, hop
    placed = next((ticket for ticket in tickets if ticket.hops), tickets[0])
    return placed, placed.hops[0] if placed.hops else None


def _ms(start: float, end: float) -> float:
    return round(1000 * (end - start), 2)


class _Told:
    """Makes of the fields what a person wants to know."""

    def __init__(self, colors: bool) -> None:
        self._colors = colors

    def __call__(self, _: Any, __: str, event: Event) -> Event:
        status = event["status"]
        color = _GREEN if status < 400 else _YELLOW if status < 500 else _RED
        shown = f"{color}{status}{_RESET}" if self._colors else str(status)
        head = f"{event['method']} {event['endpoint']} {shown} in {_shown_ms(event['duration_ms'])}"
        said = [text for name, tell in _TELL.items() if name in event and (text := tell(event))]
        line = "  ".join([head, ", ".join(said)]).rstrip()
        return {"level": event["level"], "logger": LOGGER, "event": line}


def _shown_ms(ms: float) -> str:
    return f"{ms / 1000:.2f} s" if ms >= 1000 else f"{ms:.0f} ms"


def _tokens(event: Mapping[str, Any]) -> str:
    cached = f" ({event['cached_tokens']} cached)" if event["cached_tokens"] else ""
    return f"{event['prompt_tokens']}{cached} + {event['completion_tokens']} tokens"


def _error(event: Mapping[str, Any]) -> str:
    return str(event["error"])


_TELL: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "error": _error,
    "model": lambda event: str(event["model"]),
    "prompt_tokens": _tokens,
    "ttft_ms": lambda event: f"first after {_shown_ms(event['ttft_ms'])}",
    "queue_ms": lambda e: f"queued {_shown_ms(e['queue_ms'])}" if e["queue_ms"] >= 1 else "",
    "moves": lambda event: f"moved {event['moves']} times" if event["moves"] else "",
    "status": lambda event: "the client left" if event["status"] == LEFT else "",
}
