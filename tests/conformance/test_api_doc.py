"""docs/api.md against the server, row by row."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from deployments.errors import BadRequest
from serve_app.http import errors, parsing
from serve_app.http.adapters import LoadRequest, UnloadRequest
from serve_app.http.parsing import StrictObject, parse
from tests.conformance import api_doc, surface
from tests.conformance.api_doc import Row, code, fields_of, members
from tests.support import models
from tests.support.server import ROOT, Server
from tests.unit.http_fixtures import MODEL, site
from tests.unit.pooling_fixtures import CLASSIFIER, EMBED, pooling_site

Fields = Mapping[str, Any]

_HELLO: Fields = {"messages": [{"role": "user", "content": "Hello"}]}
_ASKED: Fields = {"model": models.SMALL, "max_tokens": 4, "temperature": 0}
GENERATION: Mapping[str, Fields] = {
    "/v1/chat/completions": {**_ASKED, **_HELLO},
    "/v1/completions": {**_ASKED, "prompt": "Hello"},
    "/tokenize": {"model": models.SMALL, "prompt": "Hello"},
    "/detokenize": {"model": models.SMALL, "tokens": [7]},
}
"""The smallest body of each endpoint; a null takes away what an example has in its place."""
POOLING: Mapping[str, Fields] = {
    "/v1/embeddings": {"input": "Hello"},
    "/classify": {"input": "Hello"},
    "/score": {"queries": "a", "documents": "b"},
    "/rerank": {"query": "a", "documents": ["b"]},
}
_INSTEAD = ("items", "text_1", "data_1")
"""By what else the texts of a score may come: not beside those of the smallest body."""
ADMINISTRATION: Mapping[str, tuple[type[StrictObject], Fields]] = {
    "/v1/load_lora_adapter": (LoadRequest, {"lora_name": "mine", "lora_path": "/adapters/mine"}),
    "/v1/unload_lora_adapter": (UnloadRequest, {"lora_name": "mine"}),
}
ENDPOINTS = api_doc.table("Endpoints")
_UNSUPPORTED = (parsing.UNSUPPORTED_PARAMETER, parsing.UNKNOWN_PARAMETER)


@dataclass(frozen=True)
class Example:
    """One row of a table of fields."""

    path: str
    field: str
    example: Fields
    works: bool
    depends: bool
    """Whether it works with some models only, of which the embedded one need not be."""
    partly: bool
    """Whether another row says that the field works with other values."""

    def body(self, smallest: Fields) -> Fields:
        given = not self.example.keys().isdisjoint(_INSTEAD)
        body = {**({} if given else smallest), **self.example}
        return {name: value for name, value in body.items() if value is not None}

    def check(self, status: int, error: Fields | None) -> None:
        """Whether it was answered as the row says."""
        param = re.sub(r"\[\d+\]", "[]", (error or {}).get("param") or "")
        if self.depends and status == 400:
            assert param != "", error
            assert self.field.startswith(param.partition(".")[0]), error
        elif self.works:
            assert status == 200, error
        else:
            assert status == 400, error
            assert param == self.field, error
            assert self.partly or (error or {})["code"] in _UNSUPPORTED, error


def examples(*paths: str) -> list[Any]:
    """Every row of these endpoints, as a parameter of a test."""
    return [example for path in paths for example in _examples(path)]


def _examples(path: str) -> Iterator[Any]:
    rows = fields_of(path)
    working = {code(row["field"]) for row in rows if row["Sluice"].startswith("works")}
    for number, row in enumerate(rows):
        field, says = code(row["field"]), row["Sluice"]
        works, depends = says.startswith("works"), says.startswith("works with a model")
        assert works or says.startswith("refused: "), row
        example = Example(path, field, members(row["example"]), works, depends, field in working)
        yield pytest.param(example, id=f"{path}-{number}-{field}")


class TestAField:
    @pytest.mark.parametrize("example", examples(*GENERATION))
    def test_of_generation_does_as_its_row_says(self, example: Example, server: Server) -> None:
        answer = server.post(example.path, example.body(GENERATION[example.path]))
        if answer.status_code != 200:
            example.check(answer.status_code, answer.json()["error"])
        elif "text/event-stream" in answer.headers["content-type"]:
            assert answer.text.endswith("data: [DONE]\n\n")
            assert '"error"' not in answer.text
            example.check(200, None)
        else:
            example.check(200, answer.json())

    @pytest.mark.parametrize("example", examples(*POOLING))
    async def test_of_pooling_does_as_its_row_says(self, example: Example) -> None:
        pooling = CLASSIFIER if example.path == "/classify" else {**EMBED, "is_matryoshka": True}
        async with pooling_site(pooling, embedding_size=384) as s:
            body = {**example.body(POOLING[example.path]), "model": MODEL}
            answer = await s.http.post(example.path, json=body)
        example.check(answer.status_code, answer.json().get("error"))

    @pytest.mark.parametrize("example", examples(*ADMINISTRATION))
    def test_of_administration_does_as_its_row_says(self, example: Example) -> None:
        model, smallest = ADMINISTRATION[example.path]
        status, error = 200, None
        try:
            parse(model, json.dumps(example.body(smallest)).encode())
        except BadRequest as refusal:
            status, error = 400, {"param": refusal.param, "code": refusal.code}
        example.check(status, error)


def endpoints(row: Row) -> list[str]:
    """The methods and paths of a row; whatever a path has in braces is the same."""
    return [
        re.sub(r"\{\w+\}", "{}", each) for each in re.findall(r"`([A-Z]+ /[^`]*)`", row["endpoint"])
    ]


def by_status(status: str) -> list[str]:
    return [
        each for row in ENDPOINTS if row["Sluice"].startswith(status) for each in endpoints(row)
    ]


async def ask(http: httpx.AsyncClient, endpoint: str) -> tuple[int, str | None]:
    """Status and error code of an endpoint that is asked for nothing in particular."""
    method, path = endpoint.split()
    answer = await http.request(method, path.replace("{}", "x"), json={})
    try:
        return answer.status_code, answer.json()["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return answer.status_code, None


class TestAnEndpoint:
    @pytest.mark.parametrize("endpoint", by_status("works"))
    async def test_that_works_is_there(self, endpoint: str) -> None:
        async with site() as s:
            _, why = await ask(s.http, endpoint)
        assert why not in ("not_found", "method_not_allowed")

    @pytest.mark.parametrize("endpoint", by_status("refused"))
    async def test_that_is_refused_is_not_there(self, endpoint: str) -> None:
        async with site() as s:
            status, why = await ask(s.http, endpoint)
        assert (status, why) in [(404, "not_found"), (405, "method_not_allowed")]

    def test_of_vllm_has_a_row(self) -> None:
        documented = {each for row in ENDPOINTS if "vLLM" in row["of"] for each in endpoints(row)}
        assert surface.vllm_endpoints() <= documented

    async def test_of_openai_has_a_row_or_its_family_is_named(self) -> None:
        documented = {each for row in ENDPOINTS if "OpenAI" in row["of"] for each in endpoints(row)}
        families = set(re.findall(r"`(/v1/\w+)`", api_doc.PAGE.read_text(encoding="utf-8")))
        async with site() as s:
            for endpoint in sorted(surface.openai_endpoints() - documented):
                assert "/".join(endpoint.split()[1].split("/")[:3]) in families
                assert await ask(s.http, endpoint) in [
                    (404, "not_found"),
                    (405, "method_not_allowed"),
                ]


def test_every_error_code_is_documented() -> None:
    sources = [
        path for name in ("serve_app", "deployments") for path in (ROOT / name).rglob("*.py")
    ]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    sent = set(re.findall(r"\bcode ?= ?\"(\w+)\"", text)) | {*errors._CODE.values()}
    sent |= {getattr(parsing, name) for name in dir(parsing) if name.startswith(("INVALID", "UN"))}
    documented = {
        each for row in api_doc.table("Errors") for each in re.findall(r"`(\w+)`", row["code"])
    }
    assert sent <= documented
