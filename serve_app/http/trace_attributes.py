"""What spans say of a request, in the names of OpenTelemetry's conventions for HTTP and for GenAI.

Names of our own begin with `sluice.`. No text of a client or of a model is among it, nor anything
else that a client may write as it likes: no stop strings, no user agent, no query.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from deployments.messages import Pooling, Sampling

if TYPE_CHECKING:
    from deployments.ticket import Ticket
    from serve_app.http.record import Record

Attributes = dict[str, str | bool | int | float | Sequence[str]]

PROVIDER = "sluice"
_OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
}
"""The conventions' words; what they have none for is named as its endpoint."""
_SAMPLING = ("max_tokens", "temperature", "top_p", "frequency_penalty", "presence_penalty")
"""Those that have the same name in both."""


def of_begun(method: str, route: str, scope: Mapping[str, object]) -> Attributes:
    """Of a request that has just come: what a sampler may go by."""
    return {
        "http.request.method": method,
        "http.route": route,
        "url.path": route,
        "url.scheme": str(scope.get("scheme", "http")),
    }


def of_ended(record: "Record") -> Attributes:
    """Of the same at its end."""
    known = {
        "sluice.request_id": record.request_id or None,
        "sluice.tenant": record.tenant,
        "sluice.class": None if record.level is None else record.level.name.lower(),
        "error.type": "client_gone" if record.client_gone else record.error,
    }
    given: Attributes = {name: value for name, value in known.items() if value is not None}
    return given | {"http.response.status_code": record.status}


def operation(route: str) -> str:
    """What the model is asked for."""
    return _OPERATIONS.get(route) or route.rpartition("/")[2]


def of_inference(record: "Record", operation: str) -> Attributes:
    """Of the whole that engines do for a request."""
    tickets = record.tickets
    attributes: Attributes = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": PROVIDER,
    }
    if record.model is not None:
        attributes["gen_ai.request.model"] = attributes["gen_ai.response.model"] = record.model
    if record.stream:
        attributes["gen_ai.request.stream"] = True
    if len(tickets) > 1:
        attributes["sluice.sequences"] = len(tickets)
    if tickets:
        first = tickets[0]
        attributes |= _of_params(first.pooling or first.sampling)
    if (usage := record.usage) is not None:
        attributes["gen_ai.usage.input_tokens"] = usage.prompt_tokens
        attributes["gen_ai.usage.output_tokens"] = usage.completion_tokens
        attributes["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
    reasons = [ticket.finish_reason for ticket in tickets if ticket.finish_reason is not None]
    if reasons:
        attributes["gen_ai.response.finish_reasons"] = reasons
    return attributes


def _of_params(params: Sampling | Pooling) -> Attributes:
    """As they were applied: a model's own defaults are among them."""
    if isinstance(params, Pooling):
        dimensions = params.dimensions
        return {} if dimensions is None else {"gen_ai.embeddings.dimension.count": dimensions}
    attributes: Attributes = {f"gen_ai.request.{name}": getattr(params, name) for name in _SAMPLING}
    if params.top_k > 0:
        attributes["gen_ai.request.top_k"] = params.top_k
    if params.seed is not None:
        attributes["gen_ai.request.seed"] = params.seed
    if (form := params.structured_outputs) is not None and (form.json or form.json_object):
        attributes["gen_ai.output.type"] = "json"
    return attributes


def of_sequence(ticket: "Ticket") -> Attributes:
    """Which of a request's sequences it is."""
    return {"sluice.sequence.index": ticket.index}
