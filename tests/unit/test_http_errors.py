import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from openai.types.shared import ErrorObject
from starlette.types import Message

from deployments.dispatcher import Rules
from deployments.errors import BadRequest
from serve_app.http.app import create_app
from tests.unit.access_fixtures import bearer, entry, ring
from tests.unit.fakes import FakeClock, until
from tests.unit.http_fixtures import CHAT, COMPLETIONS, MODEL, Site, chat, completion, say, site

JSON = {"content-type": "application/json"}


def error_in(response: httpx.Response) -> ErrorObject:
    """The error of a response, which holds nothing else."""
    assert response.headers["content-type"] == "application/json"
    content = response.json()
    assert content.keys() == {"error"}
    assert content["error"].keys() == {"message", "type", "param", "code"}
    return ErrorObject.model_validate(content["error"])


@pytest.mark.parametrize(
    ("path", "body", "param", "code"),
    [
        (CHAT, {"model": MODEL}, "messages", "missing_required_parameter"),
        (COMPLETIONS, completion(max_tokens="5"), "max_tokens", "invalid_type"),
        (COMPLETIONS, completion(n=0), "n", "invalid_value"),
        (CHAT, chat(max_token=5), "max_token", "unknown_parameter"),
        (CHAT, chat(functions=[]), "functions", "unsupported_parameter"),
    ],
)
async def test_a_bad_body_is_a_400_that_names_the_field(
    path: str, body: dict[str, Any], param: str, code: str
) -> None:
    async with site() as s:
        response = await s.post(path, body)
    error = error_in(response)
    assert response.status_code == 400
    assert (error.type, error.param, error.code) == ("invalid_request_error", param, code)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff"])
async def test_no_json_is_a_400(body: bytes) -> None:
    async with site() as s:
        response = await s.http.post(CHAT, content=body, headers=JSON)
    assert (response.status_code, error_in(response).code) == (400, "invalid_json")


@pytest.mark.parametrize("stream", [False, True])
async def test_what_the_engine_refuses_is_a_400_in_its_words(stream: bool) -> None:
    async with site() as s:
        s.engine.refuse = lambda _: BadRequest("Token id 9 is out of vocabulary.")
        response = await s.post(COMPLETIONS, completion([9], stream=stream))
    error = error_in(response)
    assert (response.status_code, error.type) == (400, "invalid_request_error")
    assert error.message == "Token id 9 is out of vocabulary."


async def test_what_one_sequence_is_refused_for_frees_the_others() -> None:
    async with site() as s:
        s.engine.refuse = lambda q: BadRequest("No.") if q.prompt_token_ids == [9] else None
        response = await s.post(COMPLETIONS, completion([[8], [9]]))
        assert response.status_code == 400
        await s.submitted(1)
        await until(lambda: not s.engine.running, "the other is aborted")
    assert len(s.engine.aborted) == 1


async def test_what_a_tokenizer_refuses_is_a_400() -> None:
    class Refusing:
        async def chat(self, *_: Any, **__: Any) -> list[int]:
            raise BadRequest("The model's chat template refused the messages.", param="messages")

    async with site(tokenizer=Refusing()) as s:
        response = await s.post(CHAT, chat())
    assert (response.status_code, error_in(response).param) == (400, "messages")


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/images", "/v1/chat/completions/"])
async def test_an_unknown_path_is_a_404(path: str) -> None:
    async with site() as s:
        response = await s.http.post(path, json=chat())
    error = error_in(response)
    assert (response.status_code, error.code) == (404, "not_found")
    assert error.message == f"Unknown path: POST {path}"


@pytest.mark.parametrize(("path", "body"), [(CHAT, chat()), (COMPLETIONS, completion())])
async def test_an_unknown_model_is_a_404(path: str, body: dict[str, Any]) -> None:
    async with site() as s:
        response = await s.post(path, {**body, "model": "nope"})
    error = error_in(response)
    assert response.status_code == 404
    assert (error.type, error.param) == ("invalid_request_error", "model")
    assert (error.code, error.message) == ("model_not_found", "The model 'nope' does not exist.")


@asynccontextmanager
async def with_key(**fields: Any) -> AsyncIterator[tuple[Site, httpx.AsyncClient]]:
    """A site, and a server over it that knows one key, `acme`, with these fields."""
    async with site(echo=1) as s:
        behind: Any = s.app
        app = create_app(behind.state.service, ring(entry("acme", **fields)))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://sluice") as http:
            yield s, http


@pytest.mark.parametrize(("path", "body"), [(CHAT, chat()), (COMPLETIONS, completion())])
async def test_a_model_of_others_is_a_404_as_one_that_is_not(
    path: str, body: dict[str, Any]
) -> None:
    async with with_key(models=["mine"]) as (s, http):
        refused = await http.post(path, json=body, headers=bearer("acme"))
        unknown = await http.post(path, json={**body, "model": "nope"}, headers=bearer("acme"))
        assert not s.engine.submitted
    assert (refused.status_code, error_in(refused).code) == (404, "model_not_found")
    assert refused.text.replace(MODEL, "nope") == unknown.text


@pytest.mark.parametrize("stream", [False, True])
async def test_a_class_that_a_key_may_not_choose_is_a_403(stream: bool) -> None:
    async with with_key(classes=["batch"]) as (s, http):
        headers = {**bearer("acme"), "x-sluice-class": "interactive"}
        response = await http.post(CHAT, json=chat(stream=stream), headers=headers)
        assert not s.engine.submitted
    error = error_in(response)
    assert (response.status_code, error.type) == (403, "permission_error")
    assert (error.param, error.code) == ("x-sluice-class", "class_not_allowed")


@pytest.mark.parametrize("name", ["x-sluice-class", "x-sluice-deadline-ms"])
async def test_a_bad_header_is_a_400_that_names_it(name: str) -> None:
    async with site() as s:
        response = await s.http.post(CHAT, json=chat(), headers={name: "soon"})
    error = error_in(response)
    assert (response.status_code, error.param, error.code) == (400, name, "invalid_value")


async def test_an_engine_gets_the_tenants_salt_and_no_clients() -> None:
    async with with_key() as (s, http):
        for path, body in ((CHAT, chat()), (COMPLETIONS, completion())):
            assert (await http.post(path, json=body, headers=bearer("acme"))).status_code == 200
            refused = await http.post(
                path, json={**body, "cache_salt": "mine"}, headers=bearer("acme")
            )
            assert (refused.status_code, error_in(refused).param) == (400, "cache_salt")
        salts = [sequence.cache_salt for _, sequence in s.engine.submitted]
    assert salts == ["acme", "acme"]


async def test_without_a_key_a_request_is_a_401_whatever_it_asks_for() -> None:
    async with with_key() as (_, http):
        refused = [await http.post(path, json=chat()) for path in (CHAT, "/nowhere")]
        unknown = await http.post("/nowhere", json=chat(), headers=bearer("acme"))
    for response in refused:
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
        error = error_in(response)
        assert (error.type, error.code) == ("authentication_error", "missing_api_key")
    assert unknown.status_code == 404


async def test_a_wrong_method_is_a_405_that_says_which_are_right() -> None:
    async with site() as s:
        response = await s.http.get(CHAT)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert error_in(response).code == "method_not_allowed"
    assert error_in(response).message == "/v1/chat/completions does not take GET"


async def chunked(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_a_body_that_says_it_is_too_large_is_a_413() -> None:
    async with site(max_body_bytes=100) as s:
        response = await s.post(CHAT, chat(100 * "x"))
    error = error_in(response)
    assert (response.status_code, error.code) == (413, "payload_too_large")
    assert error.message == "The body is larger than 100 bytes."


async def test_a_body_that_turns_out_too_large_is_a_413() -> None:
    async with site(max_body_bytes=100) as s:
        content = chunked(60 * b" ", 60 * b" ")
        response = await s.http.post(CHAT, content=content, headers=JSON)
    assert (response.status_code, error_in(response).code) == (413, "payload_too_large")


async def test_a_body_of_exactly_the_limit_is_read() -> None:
    body = b'{"model":"org/model","prompt":"Hi"}'
    async with site(max_body_bytes=len(body), echo=1) as s:
        response = await s.http.post(COMPLETIONS, content=chunked(*[body]), headers=JSON)
    assert response.status_code == 200


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", None])
async def test_a_body_that_is_not_said_to_be_json_is_a_415(content_type: str | None) -> None:
    async with site() as s:
        headers = {} if content_type is None else {"content-type": content_type}
        response = await s.http.post(CHAT, content=b"{}", headers=headers)
    error = error_in(response)
    assert (response.status_code, error.code) == (415, "unsupported_media_type")
    said = content_type or "none"
    assert error.message == f"Send Content-Type: application/json, not {said}."


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/x+json"]
)
async def test_any_spelling_of_json_is_json(content_type: str) -> None:
    async with site(echo=1) as s:
        content = b'{"model":"org/model","prompt":"Hi"}'
        headers = {"content-type": content_type}
        response = await s.http.post(COMPLETIONS, content=content, headers=headers)
    assert response.status_code == 200


async def test_a_bug_is_a_500_without_its_cause_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with site(tokenizer=object()) as s:
        with caplog.at_level(logging.ERROR, "ray.serve"):
            response = await s.post(CHAT, chat())
    error = error_in(response)
    assert response.status_code == 500
    assert (error.type, error.code) == ("server_error", "internal_error")
    assert "AttributeError" not in response.text
    assert "AttributeError" in caplog.text


async def test_a_client_that_leaves_before_its_body_has_come_is_no_bug(
    caplog: pytest.LogCaptureFixture,
) -> None:
    messages: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": CHAT,
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
    }
    async with site() as s:
        await s.app(scope, receive, send)
    assert caplog.records == []
    assert sent[0]["status"] == 400


async def test_beyond_the_servers_room_a_request_is_a_503_until_there_is_room_again() -> None:
    async with site(max_sequences=2) as s:
        first = asyncio.ensure_future(s.post(CHAT, chat(n=2)))
        await s.submitted(2)
        refused = await s.post(CHAT, chat())
        s.step(0, say("a", finish_reason="stop"))
        s.step(1, say("a", finish_reason="stop"))
        assert (await first).status_code == 200
        s.engine.echo = 1
        admitted = await s.post(CHAT, chat(n=2))
    error = error_in(refused)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert (error.type, error.code) == ("service_unavailable_error", "overloaded")
    assert admitted.status_code == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_without_an_engine_a_request_is_a_503(stream: bool, short_grace: None) -> None:
    async with site(running=False) as s:
        response = await s.post(CHAT, chat(stream=stream))
    error = error_in(response)
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert response.headers["retry-after-ms"] == "5000"
    assert (error.type, error.code) == ("service_unavailable_error", "engine_unavailable")


async def test_while_the_only_engine_drains_a_request_is_a_503(short_grace: None) -> None:
    async with site() as s:
        await s.serving.server.drain(0)
        [link] = s.router.pools[MODEL].links
        await until(lambda: not link.takes_work, "the engine has said that it drains")
        response = await s.post(CHAT, chat())
    assert (response.status_code, error_in(response).code) == (503, "engine_unavailable")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_full_queue_is_a_503_that_says_when_to_come_back(stream: bool) -> None:
    async with site(max_num_seqs=1, rules=Rules(max_queued_tokens=100)) as s:
        running, waiting = (s.open(CHAT, chat(max_tokens=20)) for _ in range(2))
        await s.submitted()
        await until(lambda: queued(s) == 1, "the other one waits")
        refused = await s.post(CHAT, chat(max_tokens=40, stream=stream))
        await running.leave()
        await waiting.leave()
    error = error_in(refused)
    assert (refused.status_code, error.code) == (503, "overloaded")
    assert "x-should-retry" not in refused.headers
    after_ms, after_s = (int(refused.headers[h]) for h in ("retry-after-ms", "retry-after"))
    assert after_ms > 0
    assert (after_s - 1) * 1000 < after_ms <= after_s * 1000


async def test_a_deadline_that_passes_in_the_queue_is_a_503(clock: FakeClock) -> None:
    async with site(max_num_seqs=1, now=clock) as s:
        running = s.open(CHAT, chat())
        await s.submitted()
        patient = asyncio.ensure_future(
            s.post(CHAT, chat(), headers={"x-sluice-deadline-ms": "20"})
        )
        await until(lambda: queued(s) == 1, "it waits")
        clock.advance(0.02)
        late = await patient
        await running.leave()
        assert len(s.engine.submitted) == 1
    assert (late.status_code, error_in(late).code) == (503, "deadline_exceeded")
    assert int(late.headers["retry-after-ms"]) > 0
    assert "x-should-retry" not in late.headers


async def test_a_deadline_shorter_than_an_engine_takes_is_told_not_to_retry(
    clock: FakeClock,
) -> None:
    async with site(now=clock) as s:
        running = s.open(CHAT, chat(stream=True))
        await s.submitted()
        clock.advance(0.05)
        s.step(0, say("so far"))
        await running.until_says("so far")
        refused = await s.post(CHAT, chat(), headers={"x-sluice-deadline-ms": "5"})
        await running.leave()
        assert len(s.engine.submitted) == 1
    assert (refused.status_code, error_in(refused).code) == (503, "overloaded")
    assert refused.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.headers
    assert "retry-after-ms" not in refused.headers


def queued(s: Site) -> int:
    return sum(count for count, _ in s.router.pools[MODEL].dispatcher.waiting().values())
