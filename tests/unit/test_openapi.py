"""The OpenAPI document says what the server does."""

import functools
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from starlette.routing import Route

from deployments.adapters import Adapters
from deployments.errors import BadRequest
from serve_app.http import errors, openapi, openapi_answers
from serve_app.http.app import ENDPOINTS
from serve_app.http.endpoint import Endpoint
from serve_app.http.openapi_examples import EXAMPLES
from serve_app.http.parsing import StrictObject, parse
from serve_app.limits import DEFAULT_LIMITS
from tests.support import wild
from tests.support.bodies import valid
from tests.unit.access_fixtures import entry, ring
from tests.unit.http_fixtures import CHAT, COMPLETIONS, MODEL, Site, chat, completion, events, site
from tests.unit.stores import FakeStore

DOCUMENT: dict[str, Any] = json.loads(openapi.document(ENDPOINTS, DEFAULT_LIMITS))
BODIES = valid(MODEL)
REQUESTS = [endpoint for endpoint in ENDPOINTS if endpoint.request is not None]
OF_SEVERAL_FIELDS = frozenset(
    {
        "invalid_value",
        "missing_required_parameter",
    }
)
CLIENTS_SCHEMAS = (".schema", ".parameters", ".json", ".structural_tag")
"""Where a client's own schema stands, whose keywords the document does not go into."""


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from references(inner)


def resolved(reference: str) -> Any:
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step.replace("~1", "/")]
    return found


@functools.cache
def schema_of(name: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    )


class TestTheWhole:
    def test_it_has_the_routes_of_the_application_and_no_others(self) -> None:
        routes = {
            (re.sub(r":\w+}", "}", route.path), method)
            for endpoint in ENDPOINTS
            for route in endpoint.routes
            for method in (route.methods or set()) - {"HEAD"}
        }
        assert {(path, method) for path, method, _ in operations()} == routes

    async def test_the_applications_routes_are_those_that_are_declared(self) -> None:
        async with site(running=False) as running:
            app: Any = running.app
            routes = [(route.path, route.endpoint) for route in app.routes]
        assert all(isinstance(route, Route) for route in app.routes)
        assert routes == [(path, one.handler) for one in ENDPOINTS for path in one.paths]

    async def test_it_is_served_as_json(self) -> None:
        async with site(running=False) as running:
            answer = await running.http.get("/openapi.json")
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == DOCUMENT

    def test_every_reference_leads_somewhere(self) -> None:
        assert [resolved(reference) for reference in references(DOCUMENT)]

    def test_every_operation_has_a_name_of_its_own_and_says_what_it_does(self) -> None:
        names = [operation["operationId"] for _, _, operation in operations()]
        assert len(set(names)) == len(names)
        assert all(operation["summary"].endswith(".") for _, _, operation in operations())

    def test_every_schema_is_one(self) -> None:
        for name in DOCUMENT["components"]["schemas"]:
            schema_of(name)

    def test_it_says_nothing_of_the_code(self) -> None:
        assert "`opens_answer`" not in json.dumps(DOCUMENT)

    def test_it_shows_the_servers_own_limits(self) -> None:
        limits = DEFAULT_LIMITS.model_copy(update={"n": 3, "stop": 1})
        schemas = json.loads(openapi.document(ENDPOINTS, limits))["components"]["schemas"]
        fields = schemas["ChatRequest"]["properties"]
        assert fields["n"]["maximum"] == 3
        assert any(choice.get("maxItems") == 1 for choice in fields["stop"]["anyOf"])

    def test_its_version_is_the_packages(self) -> None:
        project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
        assert DOCUMENT["info"]["version"] == project["version"]

    @pytest.mark.parametrize(
        ("method", "path", "tried", "body"),
        [
            ("POST", "/tokenize", "/tokenize", {"model": "x", "prompt": "Hi"}),
            ("POST", "/detokenize", "/detokenize", {"model": "x", "tokens": [7]}),
            ("GET", "/v1/models/{model}", "/v1/models/x", None),
        ],
    )
    async def test_it_says_where_it_takes_a_store_that_answers(
        self, method: str, path: str, tried: str, body: Any
    ) -> None:
        store = FakeStore()
        store.error = RuntimeError("no GCS")
        async with site(adapters=Adapters(store=store)) as there:
            answer = await there.http.request(method, tried, json=body)
        assert answer.status_code == 503
        assert "503" in DOCUMENT["paths"][path][method.lower()]["responses"]

    @pytest.mark.parametrize("path", sorted({path for one in ENDPOINTS for path in one.paths}))
    async def test_it_says_where_a_key_is_needed(self, path: str) -> None:
        written = re.sub(r":\w+}", "}", path)
        [(method, operation)] = DOCUMENT["paths"][written].items()
        async with site(running=False, keys=ring(entry("acme"))) as running:
            tried = path.replace("{file}", "page.js").replace("{model:path}", "x")
            answer = await running.http.request(method, tried)
        assert (answer.status_code == 401) == (operation["security"] == [{"key": []}])


class TestRequests:
    @pytest.mark.parametrize("endpoint", REQUESTS, ids=lambda endpoint: endpoint.path)
    def test_every_endpoint_has_examples_that_are_valid(self, endpoint: Endpoint) -> None:
        assert EXAMPLES[endpoint.path]
        for body in BODIES[endpoint.path]:
            assert endpoint.request is not None
            parse(endpoint.request, json.dumps(body).encode())
            schema_of(endpoint.request.__name__).validate(body)

    @pytest.mark.parametrize("endpoint", REQUESTS, ids=lambda endpoint: endpoint.path)
    @settings(max_examples=200, deadline=None)
    @given(data=st.data())
    def test_the_document_and_the_server_take_the_same_bodies(
        self, endpoint: Endpoint, data: st.DataObject
    ) -> None:
        model = endpoint.request
        assert model is not None
        names = sorted(model._keys | set(model.unsupported))
        body = data.draw(wild.mutated(BODIES[endpoint.path], names))
        assume(not has_whole_float(body))
        refusal = refusal_of(model, body)
        is_documented = schema_of(model.__name__).is_valid(body)
        if refusal is None:
            assert is_documented
        elif is_documented and not (refusal.param or "").endswith(CLIENTS_SCHEMAS):
            assert refusal.code in OF_SEVERAL_FIELDS, refusal.message


def has_whole_float(value: Any) -> bool:
    """Whether there is a 1.0, which is an integer to JSON Schema and none to the server."""
    if isinstance(value, dict | list):
        return any(map(has_whole_float, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and value.is_integer()


def refusal_of(model: type[StrictObject], body: Any) -> BadRequest | None:
    try:
        parse(model, json.dumps(body).encode())
    except BadRequest as exc:
        return exc
    return None


def held_against(kind: Any, content: bytes) -> Any:
    """The answer as the type that the document has for it, in which every key counts."""
    return msgspec.json.decode(content, type=kind)


SAMPLED = {"max_tokens": 3, "n": 2, "return_token_ids": True}
CALL = {
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
}


class TestAnswers:
    @pytest.mark.parametrize(
        "fields",
        [{}, SAMPLED, {"logprobs": True, "top_logprobs": 2}, {"logprobs": True}, CALL],
        ids=["plain", "token ids", "top logprobs", "logprobs", "a call"],
    )
    async def test_of_chats(self, fields: Mapping[str, Any]) -> None:
        async with site(echo=3) as running:
            whole = await running.post(CHAT, chat(**fields))
            stream = await streamed(running, CHAT, chat(**fields))
        held_against(openapi_answers.ChatCompletion, whole.content)
        for chunk in stream:
            held_against(openapi_answers.ChatCompletionChunk, chunk)

    @pytest.mark.parametrize(
        "fields",
        [{}, SAMPLED, {"logprobs": 2}, {"logprobs": 0, "echo": True, "max_tokens": 0}],
        ids=["plain", "token ids", "logprobs", "an echo"],
    )
    async def test_of_completions(self, fields: Mapping[str, Any]) -> None:
        async with site(echo=3) as running:
            whole = await running.post(COMPLETIONS, completion(**fields))
            stream = await streamed(running, COMPLETIONS, completion(**fields))
        held_against(openapi_answers.Completion, whole.content)
        for chunk in stream:
            held_against(openapi_answers.CompletionChunk, chunk)

    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("/v1/models", openapi_answers.ModelList),
            (f"/v1/models/{MODEL}", openapi_answers.Model),
            ("/health", openapi_answers.Health),
            ("/ready", openapi_answers.Readiness),
        ],
    )
    @pytest.mark.parametrize("running", [True, False], ids=["running", "starting"])
    async def test_of_the_server(self, path: str, kind: Any, running: bool) -> None:
        async with site(running=running) as there:
            answer = await there.http.get(path)
        held_against(kind, answer.content)

    @pytest.mark.parametrize("status", sorted(openapi._ERRORS))
    def test_of_errors(self, status: int) -> None:
        held_against(openapi_answers.Error, errors.body(status, "x"))
        assert str(status) in DOCUMENT["components"]["responses"]


async def streamed(running: Site, path: str, body: Mapping[str, Any]) -> list[bytes]:
    """The events of a stream."""
    options = {"stream": True, "stream_options": {"include_usage": True}}
    answer = await running.post(path, {**body, **options})
    return [json.dumps(event).encode() for event in events(answer.content)]
