"""The messages of a chat: what clients may send, and what templates get of it."""

import json
from typing import Any

import pytest

from deployments.errors import BadRequest
from serve_app.http.chat_request import ChatRequest
from serve_app.http.conversation import MAX_TEMPLATE_KWARGS_BYTES, MAX_TEMPLATE_KWARGS_DEPTH
from tests.unit.http_fixtures import parse_chat

HI = {"role": "user", "content": "Hi"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


def chat(*messages: Any, **fields: Any) -> ChatRequest:
    body = {"model": "m", "messages": messages or [HI], **fields}
    return parse_chat(json.dumps(body).encode())


def refusal_of(*messages: Any, **fields: Any) -> tuple[str | None, str | None]:
    with pytest.raises(BadRequest) as caught:
        chat(*messages, **fields)
    assert caught.value.message.startswith(f"'{caught.value.param}' ")
    return caught.value.param, caught.value.code


def template(message: dict[str, Any]) -> dict[str, Any]:
    return chat(message).messages_for_template[0]


class TestMessages:
    @pytest.mark.parametrize(
        "message",
        [
            {"role": "system", "content": "Be brief.", "name": "boss"},
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "", "name": "Ann"},
            {"role": "assistant", "content": "Hello"},
            {"role": "tool", "content": "4 degrees", "tool_call_id": "call_1"},
            {"role": "tool", "content": "4 degrees", "tool_call_id": "call_1", "name": "weather"},
        ],
        ids=lambda message: message["role"],
    )
    def test_go_to_the_template_as_they_are(self, message: dict[str, Any]) -> None:
        assert template(message) == message

    def test_keep_their_parts_apart(self) -> None:
        parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        assert template({"role": "user", "content": parts})["content"] == parts

    def test_of_the_assistant_may_be_calls_without_content(self) -> None:
        for content in ({}, {"content": None}, {"content": ""}):
            told = template({"role": "assistant", "tool_calls": [CALL], **content})
            assert told["content"] == ""
            assert told["tool_calls"] == [
                {**CALL, "function": {"name": "weather", "arguments": {}}}
            ]

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ('{"city": "Rome", "n": [1, null]}', {"city": "Rome", "n": [1, None]}),
            ("", {}),
            ("not JSON", {}),
            ('{"city": "Ro', {}),
            ("[1]", {}),
            ("NaN", {}),
            ("[" * 100_000, {}),
        ],
    )
    def test_give_the_arguments_of_calls_as_objects_whatever_the_assistant_wrote(
        self, arguments: str, told: Any
    ) -> None:
        call = {**CALL, "function": {"name": "weather", "arguments": arguments}}
        message = template({"role": "assistant", "tool_calls": [call]})
        assert message["tool_calls"][0]["function"]["arguments"] == told

    def test_of_the_assistant_may_be_a_refusal(self) -> None:
        refusal = {"role": "assistant", "content": None, "refusal": "I will not."}
        assert template(refusal) == {"role": "assistant", "content": "I will not."}
        part = {"type": "refusal", "refusal": "No."}
        told = template({"role": "assistant", "content": [part]})
        assert told["content"] == [{"type": "text", "text": "No."}]

    @pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
    def test_tell_what_the_assistant_thought_by_both_its_names(self, field: str) -> None:
        told = template({"role": "assistant", "content": "Yes", field: "Hm"})
        assert (told["reasoning"], told["reasoning_content"]) == ("Hm", "Hm")

    @pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
    def test_may_be_what_the_assistant_thought_and_nothing_else(self, field: str) -> None:
        # As an answer is that was cut off while it thought.
        told = template({"role": "assistant", "content": None, field: "Hm"})
        assert (told["content"], told["reasoning"]) == ("", "Hm")

    def test_are_made_ready_for_the_template_once(self) -> None:
        request = chat(HI, tools=[{"type": "function", "function": {"name": "f"}}])
        assert request.messages_for_template is request.messages_for_template
        assert request.tools_for_template is request.tools_for_template

    @pytest.mark.parametrize(
        ("message", "param", "code"),
        [
            ({"role": "user"}, "content", "missing_required_parameter"),
            ({"role": "user", "content": None}, "content", "missing_required_parameter"),
            ({"role": "assistant"}, "content", "missing_required_parameter"),
            ({"role": "assistant", "tool_calls": []}, "content", "missing_required_parameter"),
            ({"role": "user", "content": []}, "content", "invalid_value"),
            ({"role": "user", "content": 7}, "content", "invalid_type"),
            ({"role": "user", "content": ["Hi"]}, "content[0]", "invalid_type"),
            ({"role": "tool", "content": "4"}, "tool_call_id", "missing_required_parameter"),
            (
                {"role": "user", "content": "Hi", "tool_calls": [CALL]},
                "tool_calls",
                "invalid_value",
            ),
            (
                {"role": "user", "content": "Hi", "tool_call_id": "1"},
                "tool_call_id",
                "invalid_value",
            ),
            ({"role": "user", "content": "Hi", "reasoning": "Hm"}, "reasoning", "invalid_value"),
            ({"role": "user", "content": "Hi", "refusal": "No"}, "refusal", "invalid_value"),
            ({"role": "function", "content": "4"}, "role", "unsupported_parameter"),
            ({"role": "wizard", "content": "4"}, "role", "invalid_value"),
            ({**HI, "name": 1}, "name", "invalid_type"),
            ({**HI, "mood": 1}, "mood", "unknown_parameter"),
            (
                {"role": "assistant", "content": "Hi", "function_call": {}},
                "function_call",
                "unsupported_parameter",
            ),
            (
                {"role": "assistant", "content": "Hi", "audio": {"id": "1"}},
                "audio",
                "unsupported_parameter",
            ),
            (
                {"role": "assistant", "tool_calls": [{**CALL, "type": "custom"}]},
                "tool_calls[0].type",
                "unsupported_parameter",
            ),
            (
                {"role": "assistant", "tool_calls": [{**CALL, "function": {}}]},
                "tool_calls[0].function.name",
                "missing_required_parameter",
            ),
            (
                {"role": "assistant", "tool_calls": [{"function": CALL["function"]}]},
                "tool_calls[0].id",
                "missing_required_parameter",
            ),
        ],
    )
    def test_are_refused_by_name_when_they_make_no_turn(
        self, message: dict[str, Any], param: str, code: str
    ) -> None:
        assert refusal_of(HI, message) == (f"messages[1].{param}", code)


class TestParts:
    @pytest.mark.parametrize(
        "kind",
        ["image_url", "video_url", "audio_url", "input_audio", "file", "image_embeds"],
    )
    def test_of_media_are_refused_by_name(self, kind: str) -> None:
        part = {"type": kind, kind: {"url": "http://127.0.0.1:1/cat.png"}}
        message = {"role": "user", "content": [{"type": "text", "text": "Look"}, part]}
        assert refusal_of(message) == ("messages[0].content[1].type", "unsupported_parameter")

    @pytest.mark.parametrize(
        ("part", "param", "code"),
        [
            ({"type": "text"}, "text", "missing_required_parameter"),
            ({"type": "refusal"}, "refusal", "missing_required_parameter"),
            ({"type": "text", "text": "a", "refusal": "b"}, "refusal", "invalid_value"),
            ({"text": "a"}, "type", "missing_required_parameter"),
            ({"type": "song", "text": "a"}, "type", "invalid_value"),
            ({"type": "text", "text": "a", "x": 1}, "x", "unknown_parameter"),
        ],
    )
    def test_that_are_no_text_are_refused_by_name(
        self, part: dict[str, Any], param: str, code: str
    ) -> None:
        message = {"role": "assistant", "content": [part]}
        assert refusal_of(message) == (f"messages[0].content[0].{param}", code)

    def test_of_refusal_are_the_assistants(self) -> None:
        parts = [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}]
        param = "messages[0].content[1].type"
        assert refusal_of({"role": "user", "content": parts}) == (param, "invalid_value")


class TestTemplateKwargs:
    def test_are_those_of_the_request_and_what_its_fields_say(self) -> None:
        request = chat(chat_template_kwargs={"mood": "gay"}, reasoning_effort="low")
        expected = {"mood": "gay", "reasoning_effort": "low", "enable_thinking": True}
        assert request.template_kwargs == expected
        assert chat(reasoning_effort="none").template_kwargs["enable_thinking"] is False

    def test_say_for_themselves_whether_to_think(self) -> None:
        kwargs = {"enable_thinking": False}
        request = chat(chat_template_kwargs=kwargs, reasoning_effort="high")
        assert request.template_kwargs["enable_thinking"] is False

    @pytest.mark.parametrize(
        "name",
        [
            "messages",
            "tools",
            "documents",
            "add_generation_prompt",
            "continue_final_message",
            "chat_template",
            "tokenize",
            "bos_token",
            "raise_exception",
            "tokenizer_kwargs",
        ],
    )
    def test_may_not_overrule_what_a_template_gets_anyway(self, name: str) -> None:
        refusal = refusal_of(chat_template_kwargs={"mood": 1, name: "x"})
        assert refusal == (f"chat_template_kwargs.{name}", "unsupported_parameter")

    @pytest.mark.parametrize("name", ["two words", "1", "__class__", "a-b"])
    def test_have_names_of_variables(self, name: str) -> None:
        refusal = refusal_of(chat_template_kwargs={name: 1})
        assert refusal == (f"chat_template_kwargs.{name}", "invalid_value")

    @pytest.mark.parametrize(
        "kwargs",
        [
            {"a": "x" * MAX_TEMPLATE_KWARGS_BYTES},
            {f"a{i}": i for i in range(65)},
            {"a": json.loads("[" * MAX_TEMPLATE_KWARGS_DEPTH + "]" * MAX_TEMPLATE_KWARGS_DEPTH)},
        ],
        ids=["long", "many", "deep"],
    )
    def test_are_refused_beyond_their_limits(self, kwargs: dict[str, Any]) -> None:
        assert refusal_of(chat_template_kwargs=kwargs) == ("chat_template_kwargs", "invalid_value")

    def test_agree_with_the_effort_that_the_request_asks_for(self) -> None:
        kwargs = {"reasoning_effort": "low"}
        assert chat(chat_template_kwargs=kwargs, reasoning_effort="low")
        refusal = refusal_of(chat_template_kwargs=kwargs, reasoning_effort="high")
        assert refusal == ("reasoning_effort", "invalid_value")
