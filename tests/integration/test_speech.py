"""Thoughts and calls of tools out of real engines."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from openai import OpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState

from tests.support import models, server, thinker
from tests.support.server import Server

CITY = {
    "type": "object",
    "properties": {"city": {"enum": ["Rome", "Oslo"]}, "sure": {"type": "boolean"}},
    "required": ["city", "sure"],
    "additionalProperties": False,
}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "parameters": CITY}}
    for name in ("weather", "time")
]
NAMED = {"type": "function", "function": {"name": "time"}}
ASKED: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Where is it warm?"}],
    "max_tokens": 120,
    "temperature": 0,
}
THINKS: dict[str, Any] = {"model": thinker.NAME, **ASKED, "thinking_token_budget": 5}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome", "sure": true}}\n</tool_call>'


@pytest.fixture(scope="module")
def thinking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a model that thinks and calls tools in its own words."""
    directory: Path = tmp_path_factory.mktemp("thinker")
    with server.start({"models": [thinker.config(directory)]}).serving() as running:
        yield running


def whole(running: Server, **body: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The choice that answers, and the usage."""
    response = running.post("/v1/chat/completions", body)
    assert response.status_code == 200, response.text
    content = response.json()
    return content["choices"][0], content["usage"]


def streamed(running: Server, **body: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same of a stream, put together by OpenAI's own client; its reasoning by us."""
    client = OpenAI(base_url=running.url + "/v1", api_key="none")
    known = ("thinking_token_budget", "chat_template_kwargs", "include_reasoning")
    extra = {name: body.pop(name) for name in known if name in body}
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    reasoning = ""
    options = {"include_usage": True}
    create: Any = client.chat.completions.create
    for chunk in create(**body, stream=True, stream_options=options, extra_body=extra):
        state.handle_chunk(chunk)
        for piece in chunk.choices:
            reasoning += getattr(piece.delta, "reasoning", None) or ""
    completion = state.current_completion_snapshot.to_dict()
    choice: dict[str, Any] = completion["choices"][0]  # type: ignore[index]
    choice["message"]["reasoning"] = reasoning
    usage: dict[str, Any] = completion["usage"]  # type: ignore[assignment]
    return choice, usage


def said(choice: dict[str, Any]) -> tuple[Any, ...]:
    """What must not depend on how an answer is sent."""
    message = choice["message"]
    calls = [
        # Spaces are the model's in a stream, and vLLM's in a whole answer.
        (call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls") or ()
    ]
    reasoning, content = message.get("reasoning") or "", message.get("content") or ""
    return reasoning, content, calls, choice["finish_reason"]


def both(running: Server, **body: Any) -> tuple[Any, ...]:
    """What is said, streamed and as a whole."""
    at_once, usage = whole(running, **body)
    in_pieces, streamed_usage = streamed(running, **body)
    assert said(in_pieces) == said(at_once)
    for key in ("completion_tokens", "completion_tokens_details"):
        assert streamed_usage.get(key) == usage.get(key)
    return *said(at_once), usage


def check_calls(calls: list[tuple[str, Any]]) -> None:
    assert calls
    for name, arguments in calls:
        assert name in ("weather", "time")
        jsonschema_rs.validate(CITY, arguments)


def test_a_model_thinks_as_long_as_it_may_and_answers(thinking: Server) -> None:
    body = {**THINKS, "max_tokens": 20}
    reasoning, content, calls, reason, usage = both(thinking, **body)
    assert len(reasoning.split()) <= 5
    assert reasoning
    assert content
    assert (calls, reason) == ([], "length")
    assert usage["completion_tokens"] == 20
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 5}


@pytest.mark.parametrize("shown", [True, False], ids=["shown", "hidden"])
def test_the_form_of_an_answer_holds_behind_its_thoughts(thinking: Server, shown: bool) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY}}
    body = {**THINKS, "response_format": form, "include_reasoning": shown}
    reasoning, content, _, reason, usage = both(thinking, **body)
    assert bool(reasoning) is shown
    assert usage["completion_tokens_details"]["reasoning_tokens"]
    jsonschema_rs.validate(CITY, json.loads(content))
    assert reason == "stop"


@pytest.mark.parametrize("choice", ["required", NAMED], ids=["required", "named"])
def test_a_call_that_has_to_be_made_comes_behind_thoughts_in_the_models_own_words(
    thinking: Server, choice: Any
) -> None:
    fields = {"tools": TOOLS, "tool_choice": choice, "parallel_tool_calls": False}
    reasoning, content, calls, reason, _ = both(thinking, **THINKS, **fields)
    assert reasoning
    assert not content.strip()
    assert len(calls) == 1
    check_calls(calls)
    assert reason == ("tool_calls" if choice == "required" else "stop")


def test_a_call_that_the_model_makes_by_itself_is_told_apart(thinking: Server) -> None:
    # By itself it would say words in no order.
    fields = {"tools": TOOLS, "chat_template_kwargs": {"enable_thinking": False}}
    only = {"structured_outputs": {"choice": [CALL]}}
    choice, usage = whole(thinking, model=thinker.NAME, **ASKED, **fields, **only)
    reasoning, content, calls, reason = said(choice)
    assert (reasoning, content, reason) == ("", "", "tool_calls")
    check_calls(calls)
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 0}


def test_thoughts_are_hidden_on_request(thinking: Server) -> None:
    body = {**THINKS, "max_tokens": 20}
    reasoning, content, _, _, usage = both(thinking, **body, include_reasoning=False)
    assert reasoning == ""
    assert content
    assert usage["completion_tokens"] == 20


def test_a_model_without_a_parser_calls_what_it_has_to_as_json(server: Server) -> None:
    body = {"model": models.SMALL, **ASKED, "tools": TOOLS, "tool_choice": "required"}
    reasoning, content, calls, reason, usage = both(server, **body, parallel_tool_calls=False)
    assert (reasoning, content, reason) == ("", "", "tool_calls")
    assert len(calls) == 1
    check_calls(calls)
    assert "completion_tokens_details" not in usage


def test_a_model_without_a_parser_cannot_choose(server: Server) -> None:
    response = server.post("/v1/chat/completions", {"model": models.SMALL, **ASKED, "tools": TOOLS})
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "tool_choice")
    assert "'tool_parser'" in error["message"]
