"""Errors as the official `openai` client tells them: its own classes, with `code` and `param`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI
from starlette.types import ASGIApp

from deployments.dispatcher import Rules
from serve_app.http.app import create_app
from tests.unit.access_fixtures import entry, key, ring
from tests.unit.http_fixtures import MODEL, Site, say, site

HELLO: Any = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}


@asynccontextmanager
async def speaking_to(app: ASGIApp, **options: Any) -> AsyncIterator[AsyncOpenAI]:
    """The client, over the application itself."""
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    http = httpx2.AsyncClient(transport=transport)
    given = {"api_key": "none", "max_retries": 0, **options}
    async with AsyncOpenAI(base_url="http://sluice/v1", http_client=http, **given) as client:
        yield client


def with_keys(s: Site, **fields: Any) -> ASGIApp:
    """The application as a server has it that knows one key, acme's."""
    behind: Any = s.app
    return create_app(behind.state.service, ring(entry("acme", **fields)))


async def test_a_field_that_is_wrong_is_a_bad_request_that_names_it() -> None:
    async with site() as s, speaking_to(s.app) as client:
        with pytest.raises(openai.BadRequestError) as refusal:
            await client.chat.completions.create(**HELLO, max_tokens=0)
    assert (refusal.value.param, refusal.value.code) == ("max_tokens", "invalid_value")
    assert refusal.value.type == "invalid_request_error"


async def test_a_field_that_is_unknown_is_a_bad_request_that_names_it() -> None:
    async with site() as s, speaking_to(s.app) as client:
        with pytest.raises(openai.BadRequestError) as refusal:
            await client.chat.completions.create(**HELLO, extra_body={"temprature": 1})
    assert (refusal.value.param, refusal.value.code) == ("temprature", "unknown_parameter")


async def test_a_model_that_is_not_served_is_not_found() -> None:
    async with site() as s, speaking_to(s.app) as client:
        with pytest.raises(openai.NotFoundError) as refusal:
            await client.completions.create(model="nobody", prompt="Hello")
    assert (refusal.value.param, refusal.value.code) == ("model", "model_not_found")


async def test_a_resource_that_there_is_not_is_not_found() -> None:
    async with site() as s, speaking_to(s.app) as client:
        with pytest.raises(openai.NotFoundError) as refusal:
            await client.files.retrieve("file-1")
    assert refusal.value.code == "not_found"


async def test_a_key_that_nobody_knows_is_an_authentication_error() -> None:
    async with site() as s, speaking_to(with_keys(s)) as client:
        with pytest.raises(openai.AuthenticationError) as refusal:
            await client.chat.completions.create(**HELLO)
    assert (refusal.value.type, refusal.value.code) == ("authentication_error", "invalid_api_key")


async def test_what_a_key_may_not_do_is_a_permission_error() -> None:
    app = {"api_key": key("acme"), "default_headers": {"x-sluice-class": "interactive"}}
    async with site() as s, speaking_to(with_keys(s, classes=["batch"]), **app) as client:
        with pytest.raises(openai.PermissionDeniedError) as refusal:
            await client.chat.completions.create(**HELLO)
    assert (refusal.value.param, refusal.value.code) == ("x-sluice-class", "class_not_allowed")


async def test_a_body_that_is_too_large_is_a_status_error_with_a_code() -> None:
    async with site(max_body_bytes=1000) as s, speaking_to(s.app) as client:
        with pytest.raises(openai.APIStatusError) as refusal:
            await client.completions.create(model=MODEL, prompt="x" * 2000)
    assert (refusal.value.status_code, refusal.value.code) == (413, "payload_too_large")


async def test_no_engine_is_a_server_error_that_says_when_to_come_back(short_grace: None) -> None:
    async with site(running=False) as s, speaking_to(s.app) as client:
        with pytest.raises(openai.InternalServerError) as refusal:
            await client.chat.completions.create(**HELLO)
    assert (refusal.value.status_code, refusal.value.code) == (503, "engine_unavailable")
    assert refusal.value.response.headers["retry-after-ms"] == "5000"


async def test_a_client_that_retries_is_served_once_there_is_an_engine() -> None:
    async with site(rules=Rules(max_moves=0)) as s, speaking_to(s.app, max_retries=1) as client:
        asking = asyncio.ensure_future(client.chat.completions.create(**HELLO))
        await s.submitted()
        s.engine.echo = 2  # the next one is answered
        s.step(0, say("", finish_reason="error", error="It broke."))
        answer = await asking
    assert answer.choices[0].message.content == "w0 w1 "


async def test_a_bug_is_a_server_error_without_its_cause() -> None:
    class Broken:
        async def chat(self, *_: Any, **__: Any) -> list[int]:
            raise ZeroDivisionError("a secret")

    async with site(tokenizer=Broken()) as s, speaking_to(s.app) as client:
        with pytest.raises(openai.InternalServerError) as refusal:
            await client.chat.completions.create(**HELLO)
    assert (refusal.value.status_code, refusal.value.code) == (500, "internal_error")
    assert "secret" not in str(refusal.value)


async def test_an_engine_that_fails_midway_is_an_error_in_the_stream() -> None:
    async with site(rules=Rules(max_moves=0)) as s, speaking_to(s.app) as client:
        opening = asyncio.ensure_future(client.chat.completions.create(**HELLO, stream=True))
        await s.submitted()
        s.step(0, say("so far"))
        s.step(0, say("", finish_reason="error", error="It broke."))
        stream = await opening
        chunks = [await anext(stream) for _ in range(2)]
        with pytest.raises(openai.APIError) as failure:
            await anext(stream)
    assert chunks[-1].choices[0].delta.content == "so far"
    assert failure.value.code == "engine_failed"
    assert failure.value.type == "service_unavailable_error"
