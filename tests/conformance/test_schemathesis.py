"""schemathesis asks a server for all that the OpenAPI document has, and for what it has not."""

import json
import re
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from deployments.errors import BadRequest
from serve_app.http import openapi
from serve_app.http.app import ENDPOINTS
from serve_app.http.auth import DEADLINE_HEADER
from serve_app.http.endpoint import Endpoint
from serve_app.http.parsing import StrictObject, parse
from serve_app.limits import DEFAULT_LIMITS
from tests.support import models
from tests.support.server import Server

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
SERVED = {
    "EmbeddingRequest": models.EMBEDDER,
    "ScoreRequest": models.CROSS_ENCODER,
    "RerankRequest": models.CROSS_ENCODER,
    "InputRequest": models.CLASSIFIER,
}
LONG_MS = 60_000
FEW_TOKENS = {"type": "integer", "minimum": 1, "maximum": 4}
SHORT = {"max_tokens": FEW_TOKENS, "max_completion_tokens": FEW_TOKENS, "min_tokens": {"const": 0}}


LEFT_OUT = frozenset(
    {
        "add_generation_prompt",
        "continue_final_message",
        "include_reasoning",
        "prompt_logprobs",
        "return_tokens_as_token_ids",
        "tool_choice",
        "truncate_prompt_tokens",
        "truncation_side",
    }
)
"""Of what is valid, but for the examples: the rules of what goes together multiply, and at some
dozens of cases schemathesis gives up."""

BEYOND_SCHEMAS = re.compile(
    r"must be an integer, but it is -?\d+\.0\."  # which JSON Schema takes for one
    r"|must equal 'n'|must not exceed|must not differ|must have \d+ texts"
    r"|must match \^\[\^\\s\]"  # of what is white space there are several opinions
    r"|is no name of a variable|must not name two functions|must have 'triggers'"
)
"""Why what the document has as valid may be refused all the same."""


def narrowed(document: dict[str, Any]) -> dict[str, Any]:
    """The document of a server without keys, with the models that are served and short answers."""
    for methods in document["paths"].values():
        for operation in methods.values():
            operation.pop("security", None)
    schemas: dict[str, dict[str, Any]] = document["components"]["schemas"]
    for name, schema in schemas.items():
        fields: dict[str, Any] = schema.get("properties", {})
        if name.endswith("Request") and "model" in fields:
            fields["model"] = {"const": SERVED.get(name, models.SMALL)}
            schema["required"] = sorted({*schema.get("required", ()), "model"})
            fields |= {field: short for field, short in SHORT.items() if field in fields}
    for name in ("ChatRequest", "CompletionRequest"):
        schema = schemas[name]
        schema["properties"] |= {
            field: {"type": "null"} for field in LEFT_OUT if field in schema["properties"]
        }
        schema["allOf"] = [rule for rule in schema["allOf"] if not LEFT_OUT & names_in(rule)]
    return document


def names_in(rule: Any) -> set[str]:
    """The fields that a rule is about."""
    if isinstance(rule, list):
        return {name for part in rule for name in names_in(part)}
    if not isinstance(rule, dict):
        return set()
    return {*rule.get("properties", {}), *names_in(list(rule.values()))}


api = schemathesis.openapi.from_dict(
    narrowed(json.loads(openapi.document(ENDPOINTS, DEFAULT_LIMITS)))
)

api.config.generation.update(allow_extra_parameters=False)  # unknown headers are let through
rejection = api.config.checks.negative_data_rejection
rejection.expected_statuses = [*rejection.expected_statuses, "413"]


def test_the_server_has_the_document_that_the_code_has(server: Server) -> None:
    assert server.get("/openapi.json").content == openapi.document(ENDPOINTS, DEFAULT_LIMITS)


WITHOUT_SHRINKING = set(Phase) - {Phase.shrink, Phase.explain}
unhurried = settings(
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=WITHOUT_SHRINKING,
)


@pytest.mark.parametrize(
    "endpoint", [one for one in ENDPOINTS if one.request], ids=lambda endpoint: endpoint.path
)
def test_what_the_document_has_as_valid_is_taken(endpoint: Endpoint) -> None:
    operation = api[endpoint.path][endpoint.method]

    @settings(unhurried, max_examples=50)
    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    def take(case: Case[Any]) -> None:
        assert endpoint.request is not None
        why_not = refusal(endpoint.request, case.body)
        assert why_not is None or BEYOND_SCHEMAS.search(why_not), why_not

    take()


def refusal(model: type[StrictObject], body: Any) -> str | None:
    """Why the body is none of the model's, if it is none."""
    try:
        parse(model, json.dumps(body).encode())
    except BadRequest as exc:
        return exc.message
    return None


@api.parametrize()
@settings(unhurried, max_examples=30)
def test_the_server_does_what_its_document_says(case: Case[Any], server: Server) -> None:
    deadline = str(case.headers.get(DEADLINE_HEADER, ""))
    if deadline.isdecimal() and 0 < int(deadline) < LONG_MS:
        case.headers[DEADLINE_HEADER] = str(LONG_MS)  # one that cannot be kept is a 503
    case.validate_response(case.call(base_url=server.url, timeout=20), checks=CHECKS)
