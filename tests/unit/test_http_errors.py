import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from openai.types.shared import ErrorObject
from starlette.types import Message

from deployments.errors import BadRequest
from tests.unit.fakes import until
from tests.unit.http_fixtures import CHAT, COMPLETIONS, MODEL, chat, completion, say, site

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
        (CHAT, chat(tools=[]), "tools", "unsupported_parameter"),
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


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/embeddings", "/v1/chat/completions/"])
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
async def test_without_an_engine_a_request_is_a_503(stream: bool) -> None:
    async with site(running=False) as s:
        response = await s.post(CHAT, chat(stream=stream))
    error = error_in(response)
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert (error.type, error.code) == ("service_unavailable_error", "engine_unavailable")


async def test_while_the_only_engine_drains_a_request_is_a_503() -> None:
    async with site() as s:
        await s.serving.server.drain(0)
        [link] = s.router.pools[MODEL].links
        await until(lambda: not link.takes_work, "the engine has said that it drains")
        response = await s.post(CHAT, chat())
    assert (response.status_code, error_in(response).code) == (503, "engine_unavailable")
