"""The OpenAPI document: of the models that validate requests, and of the types of answers.

Of the configuration it says only what the limits of requests are; it names no model.
"""

import functools
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from deployments.scheduling.terms import Level
from serve_app.http import auth, errors
from serve_app.http.endpoint import JSON, Endpoint
from serve_app.http.limiting import shown
from serve_app.http.openapi_answers import Error
from serve_app.http.openapi_examples import EXAMPLES
from serve_app.http.openapi_requests import Plain, Schema
from serve_app.limits import Limits

_SCHEMAS = "#/components/schemas/"
_STREAM = "text/event-stream"
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_VERSION = "0.1.0"

_ABOUT = """OpenAI's API, and what vLLM has beyond it. A field that is not honoured is refused by
name with a 400, and null means "not given". Every error has the same shape, also those of paths
(404) and methods (405) that are not here. `x-request-id` in an answer is the server's own; a
client's `x-request-id` or `x-client-request-id` comes back as `x-client-request-id`."""

_KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key. A server without keys answers its own machine only, without one.",
}
_TERMS: Mapping[str, Schema] = {
    auth.CLASS_HEADER: {
        "description": "Who goes first; of those that the key may use. Default: the key's first.",
        "schema": {"type": "string", "enum": [level.name.lower() for level in Level]},
    },
    auth.DEADLINE_HEADER: {
        "description": "Within how many milliseconds the first token must come.",
        "schema": {"type": "integer", "minimum": 1, "maximum": auth.MAX_DEADLINE_MS},
    },
}
_HEADERS: Mapping[str, str] = {
    "x-request-id": "The server's own id of the request, which its log has.",
    "x-client-request-id": "The client's own id, if it sent one.",
    "x-sluice-wait-ms": "How long the request waited in the router for an engine.",
    "x-sluice-predicted-ms": "After how long its first token was to come when it was admitted.",
    "WWW-Authenticate": "Bearer",
    "Retry-After": "After how many seconds to come back.",
    "retry-after-ms": "The same in milliseconds.",
    "x-should-retry": "false where coming back is of no use.",
}
_IDS = ("x-request-id", "x-client-request-id")
_TIMING = ("x-sluice-wait-ms", "x-sluice-predicted-ms")
_ERROR_HEADERS = {
    401: ("WWW-Authenticate",),
    503: ("Retry-After", "retry-after-ms", "x-should-retry"),
}
_ERRORS: Mapping[int, str] = {
    400: "The request has to change; `param` names the field.",
    401: "No key, or none that is valid.",
    403: "The key may not do this.",
    404: "No such model, or none that the key may use.",
    408: "The request's body did not come in time.",
    413: "The body is larger than the server reads.",
    415: "The body is not declared as JSON.",
    431: "Too many headers, or too large.",
    500: "A bug of the server; its log has it under the request id.",
    503: "No room, no engine, or the first token has not come in time.",
}
_EXAMPLE_CODES: Mapping[int, str] = {
    400: "invalid_value",
    401: "missing_api_key",
    403: "class_not_allowed",
    404: "model_not_found",
    500: "internal_error",
    503: "overloaded",
}
"""Of statuses that have several."""


@functools.cache
def document(endpoints: tuple[Endpoint, ...], limits: Limits) -> bytes:
    """The document of these endpoints under these limits, as JSON."""
    requests = [each.request for each in endpoints if each.request is not None]
    answers = _answer_types(endpoints)
    content = {
        "openapi": "3.1.0",
        "info": {"title": "Sluice", "version": _VERSION, "description": _line(_ABOUT)},
        "paths": _paths(endpoints, dict(zip(answers, _schemas_of(answers)[0], strict=True))),
        "components": {
            "securitySchemes": {"key": _KEY},
            "parameters": {name: _parameter(name) for name in _TERMS},
            "headers": {name: _header(name) for name in _HEADERS},
            "responses": {str(status): _error(status) for status in _ERRORS},
            "schemas": _components(requests, answers, limits),
        },
    }
    return msgspec.json.encode(content)


async def get_openapi(request: Request) -> Response:
    """This document."""
    return Response(request.app.state.document, media_type=JSON)


def _answer_types(endpoints: Iterable[Endpoint]) -> list[Any]:
    """Every type of an answer or an event, once."""
    found: dict[Any, None] = {Error: None}
    for each in endpoints:
        for kind in (each.answer, each.event, *(kind for _, kind in each.also)):
            if kind is not None:
                found[kind] = None
    return list(found)


def _schemas_of(answers: Sequence[Any]) -> tuple[tuple[Schema, ...], dict[str, Schema]]:
    return msgspec.json.schema_components(answers, ref_template=_SCHEMAS + "{name}")


def _components(
    requests: Sequence[type], answers: Sequence[Any], limits: Limits
) -> dict[str, Schema]:
    """Every schema by its name."""
    with shown(limits):
        _, given = TypeAdapter.json_schemas(
            [(kind, "validation", TypeAdapter(kind)) for kind in requests],
            ref_template=_SCHEMAS + "{model}",
            schema_generator=Plain,
        )
    sent: dict[str, Schema] = given["$defs"]
    _, received = _schemas_of(answers)
    for schema in received.values():
        schema.pop("additionalProperties", None)  # a client has to expect new keys
    twice = sent.keys() & received.keys()
    assert not twice, f"two schemas are named {twice}"
    return sent | received


def _paths(
    endpoints: Iterable[Endpoint], schemas: Mapping[Any, Schema]
) -> dict[str, dict[str, Any]]:
    paths: dict[str, dict[str, Any]] = {}
    for each in endpoints:
        operation = _operation(each, schemas)
        for path in each.paths:
            written = _PARAMETER.sub(r"{\1}", path)
            paths.setdefault(written, {})[each.method.lower()] = operation
            # What follows is of the aliases.
            name = f"{each.handler.__name__}_at{re.sub('[^a-z0-9]', '_', path)}"
            operation = {**operation, "operationId": name}
    return paths


def _operation(endpoint: Endpoint, schemas: Mapping[Any, Schema]) -> dict[str, Any]:
    summary, _, description = (inspect.getdoc(endpoint.handler) or "").partition("\n\n")
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "tags": [endpoint.tag],
        "summary": _line(summary),
        "security": _security(endpoint),
        "responses": _responses(endpoint, schemas),
    }
    if description:
        operation["description"] = _line(description)
    if parameters := _parameters(endpoint):
        operation["parameters"] = parameters
    if endpoint.request is not None:
        operation["requestBody"] = _request_body(endpoint, endpoint.request)
    return operation


def _parameters(endpoint: Endpoint) -> list[Schema]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(endpoint.path)
    ]
    headers = _TERMS if endpoint.queued else ()
    return [*in_path, *({"$ref": f"#/components/parameters/{name}"} for name in headers)]


def _request_body(endpoint: Endpoint, model: type) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": _SCHEMAS + model.__name__}}
    if examples := EXAMPLES.get(endpoint.path):
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"required": True, "content": {JSON: content}}


def _security(endpoint: Endpoint) -> list[dict[str, list[str]]]:
    if not endpoint.is_open:
        return [{"key": []}]
    return [{}, {"key": []}] if endpoint.tells_more else []


def _line(text: str) -> str:
    return " ".join(text.split())


def _responses(endpoint: Endpoint, schemas: Mapping[Any, Schema]) -> dict[str, Any]:
    content = {kind: {"schema": schemas[endpoint.answer]} for kind in endpoint.media_types}
    description = "The answer."
    if endpoint.event is not None:
        content[_STREAM] = {"schema": _event(schemas[endpoint.event], schemas[Error])}
        description = (
            "The answer. With `stream` it comes as server-sent events: each `data:` is a chunk as "
            "JSON, and that of the last, if the stream was not cut short, `[DONE]`."
        )
    headers = _IDS + _TIMING if endpoint.queued else _IDS
    responses: dict[str, Any] = {
        "200": {"description": description, "headers": _refs(headers), "content": content}
    }
    for status, kind in endpoint.also:
        body = {JSON: {"schema": schemas[kind]}}
        responses[str(status)] = {
            "description": _ERRORS[status],
            "headers": _refs(_IDS),
            "content": body,
        }
    for status in sorted(_refusals(endpoint)):
        responses.setdefault(str(status), {"$ref": f"#/components/responses/{status}"})
    return responses


def _event(*contents: Schema) -> Schema:
    """One server-sent event, as OpenAPI 3.2 sees them; 3.1 has no words for a stream."""
    json = {
        "type": "string",
        "contentMediaType": JSON,
        "contentSchema": {"anyOf": list(contents)},
    }
    data = {"anyOf": [{"const": "[DONE]"}, json]}
    return {"type": "object", "required": ["data"], "properties": {"data": data}}


def _refusals(endpoint: Endpoint) -> set[int]:
    """The statuses of its errors."""
    statuses = {431, 500, *endpoint.refuses}
    if not endpoint.is_open:
        statuses |= {401}
    if "{" in endpoint.path:
        statuses |= {404}
    if endpoint.request is not None:
        statuses |= {400, 404, 408, 413, 415}
    if endpoint.queued:
        statuses |= {403, 503}
    return statuses


def _error(status: int) -> Schema:
    example = errors.body(status, _ERRORS[status], code=_EXAMPLE_CODES.get(status))
    content = {
        "schema": {"$ref": _SCHEMAS + Error.__name__},
        "example": msgspec.json.decode(example),
    }
    return {
        "description": _ERRORS[status],
        "headers": _refs(_IDS + _ERROR_HEADERS.get(status, ())),
        "content": {JSON: content},
    }


def _refs(headers: Iterable[str]) -> dict[str, Schema]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}


def _header(name: str) -> Schema:
    return {"description": _HEADERS[name], "schema": {"type": "string"}}


def _parameter(name: str) -> Schema:
    return {"name": name, "in": "header", **_TERMS[name]}
