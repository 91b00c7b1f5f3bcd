"""Answers of models that think and call tools, as clients get them."""

import json
import threading
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from deployments.messages import Delta, Reasoning, StructuredOutputs
from deployments.speech import Asked
from serve_app.http import openapi_answers
from serve_app.http.chat import answer_to
from serve_app.http.hearing import LONG_PROMPT, Hearing
from serve_app.http.spoken import LONG_CHARS, SpokenAnswer
from tests.unit.http_fixtures import (
    CHAT,
    CharTokenizer,
    Site,
    chat,
    events,
    parse_chat,
    row,
    say,
    site,
)
from tests.unit.speech_fixtures import FakeHeard, FakeParsing, FakeReader, spoken_chat

CALLS = ["~Hm;", "~.;", "Let me;", " see;", "?;", '!weather:{"a";', "+: 1};", "!time:;", "+{};"]
FORM = StructuredOutputs(structural_tag='{"any": "form"}')
OBJECT = {"type": "json_object"}
USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}


def spoken(*, reasons: bool = True, **fields: Any) -> tuple[SpokenAnswer, list[FakeReader]]:
    """An answer, and who reads its choices."""
    request = parse_chat(json.dumps(chat(**spoken_chat(**fields))).encode())
    readers = [FakeReader() for _ in range(request.n)]
    answer = answer_to(request, [3, 4], readers, reasons=reasons)
    assert isinstance(answer, SpokenAnswer)
    return answer, readers


def streamed(
    texts: Sequence[str], *, reason: str = "stop", index: int = 0, **fields: Any
) -> list[dict[str, Any]]:
    """The events of a stream that says these texts and then ends."""
    answer, _ = spoken(stream=True, **fields)
    script = [*map(say, texts), Delta(0, "", [], reason)]
    content = b"".join(answer.encode([(index, delta)]) for delta in script) + answer.end()
    return events(content + b"data: [DONE]\n\n")


def whole(text: str, *, reason: str = "stop", **fields: Any) -> dict[str, Any]:
    answer, _ = spoken(**fields)
    written = answer.whole([say(text, finish_reason=reason)])
    msgspec.json.decode(written, type=openapi_answers.ChatCompletion)
    content: dict[str, Any] = json.loads(written)
    ChatCompletion.model_validate(content)
    return content


def message(text: str, **fields: Any) -> dict[str, Any]:
    """The message of a whole answer, without what no two calls have in common."""
    told: dict[str, Any] = whole(text, **fields)["choices"][0]["message"]
    for call in told.get("tool_calls", ()):
        assert call.pop("id").startswith("call_")
    return told


def deltas(stream: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event["choices"][0]["delta"] for event in stream]


def call(name: str, arguments: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


class TestWhole:
    def test_has_thoughts_content_and_calls_apart(self) -> None:
        assert message("".join(CALLS)) == {
            "role": "assistant",
            "content": "Let me see",
            "refusal": None,
            "reasoning": "Hm.",
            "reasoning_content": "Hm.",
            "tool_calls": [call("weather", '{"a": 1}'), call("time", "{}")],
        }

    @pytest.mark.parametrize(
        ("text", "content"), [("Yes", "Yes"), ("", ""), ("!time:{}", None), ("~Hm", None)]
    )
    def test_has_no_content_where_there_is_something_else(
        self, text: str, content: str | None
    ) -> None:
        assert message(text)["content"] == content

    @pytest.mark.parametrize(
        ("text", "reason", "told"),
        [
            ("!time:{}", "stop", "tool_calls"),
            ("!time:{", "length", "length"),
            ("Yes", "stop", "stop"),
        ],
    )
    def test_ends_for_its_calls_if_it_has_ended_by_itself(
        self, text: str, reason: str, told: str
    ) -> None:
        assert whole(text, reason=reason)["choices"][0]["finish_reason"] == told
        [*_, last] = streamed([text], reason=reason)
        assert last["choices"][0]["finish_reason"] == told

    def test_ends_as_any_other_where_the_call_was_named(self) -> None:
        choice = {"type": "function", "function": {"name": "time"}}
        content = whole("!time:{}", tool_choice=choice)
        assert content["choices"][0]["finish_reason"] == "stop"

    def test_has_one_call_where_there_must_not_be_several(self) -> None:
        [only] = message("".join(CALLS), parallel_tool_calls=False)["tool_calls"]
        assert only["function"]["name"] == "weather"

    @pytest.mark.parametrize("reasons", [True, False])
    def test_counts_what_the_model_thought_if_it_does(self, reasons: bool) -> None:
        usage = whole("~Hm", reasons=reasons)["usage"]
        details = {"reasoning_tokens": 1} if reasons else None
        assert usage.get("completion_tokens_details") == details

    @pytest.mark.parametrize("length", [10, LONG_CHARS])
    async def test_is_the_same_however_long_it_is(self, length: int) -> None:
        answer, _ = spoken()
        text = "x" * length
        content = json.loads(await answer.written([say(text, finish_reason="stop")]))
        assert content["choices"][0]["message"]["content"] == text


class TestStream:
    def test_has_thoughts_content_and_calls_apart(self) -> None:
        stream = streamed(CALLS, **USAGE)
        for event in stream:
            ChatCompletionChunk.model_validate(event)
            msgspec.convert(event, openapi_answers.ChatCompletionChunk)
        *chunks, usage = stream
        role, *said, last = deltas(chunks)
        assert role == {"role": "assistant", "content": None}
        ids = [each["tool_calls"][0].pop("id", None) for each in said if "tool_calls" in each]
        assert [bool(each) for each in ids] == [True, False, True, False]
        assert said == [
            {"reasoning": "Hm", "reasoning_content": "Hm"},
            {"reasoning": ".", "reasoning_content": "."},
            {"content": "Let me"},
            {"content": " see"},
            {"tool_calls": [{"index": 0, **call("weather", '{"a"')}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]},
            {"tool_calls": [{"index": 1, **call("time", "")}]},
            {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        ]
        assert last == {}
        assert usage["usage"]["completion_tokens_details"] == {"reasoning_tokens": 2}

    @pytest.mark.parametrize(
        ("texts", "content"), [(["Yes"], ""), (["~Hm"], None), (["!time:{}"], None), ([], "")]
    )
    def test_opens_with_the_role_and_with_content_if_it_comes_first(
        self, texts: list[str], content: str | None
    ) -> None:
        assert deltas(streamed(texts))[0] == {"role": "assistant", "content": content}

    def test_counts_what_the_model_thought_so_far_if_it_counts_at_all(self) -> None:
        options = {"include_usage": True, "continuous_usage_stats": True}
        stream = streamed(["~Hm;", "~.;", "Yes"], stream_options=options)
        counts = [event["usage"]["completion_tokens_details"] for event in stream]
        assert [each["reasoning_tokens"] for each in counts] == [1, 1, 2, 2, 2, 2]

    def test_says_nothing_before_it_is_clear_what_it_says(self) -> None:
        answer, _ = spoken(stream=True)
        assert answer.encode([(0, say("?"))]) == b""
        assert answer.encode([(0, say("Yes"))]).count(b"data: ") == 2

    def test_has_a_call_of_its_own_for_each_choice(self) -> None:
        answer, _ = spoken(stream=True, n=2)
        content = answer.encode([(1, say("!time:{}")), (0, say("!time:{}"))])
        pieces = [json.loads(event[6:]) for event in content.split(b"\n\n")[:-1]]
        calls = [delta["tool_calls"][0] for delta in deltas(pieces) if "tool_calls" in delta]
        assert len({call["id"] for call in calls}) == 2

    def test_needs_no_reader_for_what_is_only_content(self) -> None:
        answer, [reader] = spoken(stream=True)
        answer.encode([(0, say("Yes"))])
        reader.only_content_follows = True
        content = answer.encode([(0, say(text)) for text in (" and", " no", "!time:")])
        assert reader.reads == ["Yes", " and"]
        assert b'"content":"!time:"' in content

    def test_has_log_probabilities_and_token_ids_of_silent_tokens_too(self) -> None:
        answer, _ = spoken(stream=True, logprobs=True, return_token_ids=True)
        content = answer.encode([(0, say("?", 8, logprobs=[row(("?", -0.5))]))])
        first, second = [json.loads(event[6:]) for event in content.split(b"\n\n")[:-1]]
        assert first["prompt_token_ids"] == [3, 4]
        choice = second["choices"][0]
        assert (choice["delta"], choice["token_ids"]) == ({}, [8])
        assert choice["logprobs"]["content"][0]["token"] == "?"

    @given(
        st.lists(
            st.sampled_from(["~Hm;", "Yes;", "?;", "!time:;", "!weather:{;", "+};", "+x;"]),
            max_size=12,
        )
    )
    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_is_put_together_by_openais_client_as_what_it_is_as_a_whole(
        self, texts: list[str]
    ) -> None:
        calls = [text for text in texts if text[0] in "!+"]
        if calls and calls[0][0] == "+":
            return
        state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
        for event in streamed(texts):
            state.handle_chunk(ChatCompletionChunk.model_validate(event))
        choice = state.get_final_completion().choices[0]
        expected = whole("".join(texts))["choices"][0]
        assert choice.finish_reason == expected["finish_reason"]
        assert (choice.message.content or "") == (expected["message"]["content"] or "")
        assert [
            (call.function.name, call.function.arguments)
            for call in choice.message.tool_calls or ()
        ] == [
            (call["function"]["name"], call["function"]["arguments"])
            for call in expected["message"].get("tool_calls", ())
        ]


async def asked(parsing: FakeParsing | None, text: str = "Yes", **fields: Any) -> dict[str, Any]:
    """The message that answers a chat with a model that says `text`."""
    async with site(parsing=parsing) as s:
        response = await s.answer(CHAT, chat(**fields), [say(text, finish_reason="stop")])
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()["choices"][0]["message"]
    return told


async def refused(s: Site, **fields: Any) -> tuple[int, str | None, str | None]:
    response = await s.post(CHAT, chat(**fields))
    error = response.json()["error"]
    return response.status_code, error["param"], error["code"]


class TestChats:
    async def test_that_leave_it_to_the_model_are_read_by_its_parser(self) -> None:
        parsing = FakeParsing()
        told = await asked(parsing, "!time:{}", **spoken_chat(parallel_tool_calls=False))
        assert told["tool_calls"][0]["function"]["name"] == "time"
        assert parsing.asked.tool_choice == "auto"
        assert parsing.asked.tools == spoken_chat()["tools"]
        assert not parsing.asked.parallel_tool_calls
        assert parsing.asked.prompt_token_ids == [*map(ord, "Hi"), 2]

    async def test_that_force_a_call_are_read_by_it_if_the_model_calls_in_its_own_words(
        self,
    ) -> None:
        for choice in ("required", {"type": "function", "function": {"name": "time"}}):
            parsing = FakeParsing(form=FORM)
            told = await asked(parsing, "!time:{}", **spoken_chat(tool_choice=choice))
            assert told["tool_calls"][0]["function"]["name"] == "time"
            assert parsing.asked.tool_choice == choice

    @pytest.mark.parametrize(
        "parsing", [None, FakeParsing(calls_in_its_own_words=False)], ids=["none", "json"]
    )
    async def test_that_require_a_call_are_held_to_json_elsewhere(
        self, parsing: FakeParsing | None
    ) -> None:
        text = '[{"name": "time", "parameters": {}}, {"name": "weather", "parameters": {}}]'
        told = await asked(parsing, text, **spoken_chat(tool_choice="required"))
        assert told["content"] is None
        names = [call["function"]["name"] for call in told["tool_calls"]]
        assert names == ["time", "weather"]
        assert parsing is None or not parsing.heard

    async def test_that_force_a_call_let_the_model_think_before_it(self) -> None:
        parsing = FakeParsing(reasons=True, calls_in_its_own_words=False)
        choice = {"type": "function", "function": {"name": "time"}}
        told = await asked(parsing, "~Hm;{}", **spoken_chat(tool_choice=choice))
        assert (told["reasoning"], told["content"]) == ("Hm", None)
        assert told["tool_calls"][0]["function"] == {"name": "time", "arguments": "{}"}
        assert parsing.asked.tools is None

    async def test_are_sampled_so_that_the_parser_can_read_them(self) -> None:
        parsing = FakeParsing(form=FORM, reasons=True)
        async with site(echo=1, parsing=parsing) as s:
            await s.post(CHAT, chat(n=2, **spoken_chat()))
            sequences = await s.submitted(2)
        for sequence in sequences:
            assert sequence.sampling.structured_outputs == FORM
            assert sequence.sampling.reasoning == Reasoning(False, "{}")
            assert not sequence.sampling.skip_special_tokens
            assert not sequence.sampling.spaces_between_special_tokens

    @pytest.mark.parametrize(("tokens", "elsewhere"), [(1, False), (LONG_PROMPT, True)])
    async def test_are_heard_elsewhere_than_on_the_event_loop_if_that_takes_long(
        self, tokens: int, elsewhere: bool
    ) -> None:
        threads = []

        class Hears(FakeParsing):
            def hear(self, asked: Asked) -> FakeHeard:
                threads.append(threading.current_thread())
                return super().hear(asked)

        hearing = Hearing(Hears(reasons=True), parse_chat(json.dumps(chat()).encode()))
        await hearing.prepare([7] * tokens, {})
        assert (threads != [threading.current_thread()]) is elsewhere

    async def test_have_the_form_that_they_ask_for_behind_what_the_model_thinks(self) -> None:
        async with site(echo=1, parsing=FakeParsing(reasons=True)) as s:
            await s.post(CHAT, chat(response_format=OBJECT))
            [sequence] = await s.submitted()
        assert sequence.sampling.structured_outputs == StructuredOutputs(json_object=True)
        assert sequence.sampling.reasoning is not None

    async def test_may_have_a_form_beside_calls_only_if_those_have_one(self) -> None:
        fields = spoken_chat(response_format=OBJECT)
        parsing = FakeParsing(form=FORM)
        await asked(parsing, **fields)
        assert parsing.asked.structured_outputs == StructuredOutputs(json_object=True)
        async with site(parsing=FakeParsing(form=StructuredOutputs(json_object=True))) as s:
            refusal = await refused(s, **fields)
        assert refusal == (400, "response_format", "unsupported_parameter")

    async def test_without_tools_need_no_parser_for_them(self) -> None:
        parsing = FakeParsing()
        for fields in ({}, spoken_chat(tool_choice="none")):
            assert (await asked(parsing, "!time:{}", **fields))["content"] == "!time:{}"
        assert not parsing.heard

    @pytest.mark.parametrize("parsing", [None, FakeParsing(calls=False, reasons=True)])
    async def test_may_not_leave_it_to_a_model_without_a_parser(
        self, parsing: FakeParsing | None
    ) -> None:
        async with site(parsing=parsing) as s:
            for fields in (spoken_chat(), spoken_chat(tool_choice="auto")):
                refusal = await refused(s, **fields)
                assert refusal == (400, "tool_choice", "unsupported_parameter")
            response = await s.post(CHAT, chat(**spoken_chat()))
        assert "'tool_parser'" in response.json()["error"]["message"]

    @pytest.mark.parametrize(
        "fields", [{"include_reasoning": False}, {"thinking_token_budget": 5}], ids=str
    )
    async def test_may_say_how_to_think_only_to_a_model_that_does(
        self, fields: dict[str, Any]
    ) -> None:
        for parsing in (None, FakeParsing()):
            async with site(parsing=parsing) as s:
                [param] = fields
                assert await refused(s, **fields) == (400, param, "unsupported_parameter")
        async with site(echo=1, parsing=FakeParsing(reasons=True)) as s:
            assert (await s.post(CHAT, chat(**fields))).status_code == 200

    @pytest.mark.parametrize(("given", "told"), [(5, 5), (0, 0), (-1, None)])
    async def test_tell_the_engine_how_long_it_may_think(
        self, given: int, told: int | None
    ) -> None:
        async with site(echo=1, parsing=FakeParsing(reasons=True)) as s:
            await s.post(CHAT, chat(thinking_token_budget=given))
            [sequence] = await s.submitted()
        assert sequence.sampling.thinking_token_budget == told

    async def test_can_hide_what_the_model_thinks_and_all_that_would_show_it(self) -> None:
        parsing = FakeParsing(reasons=True)
        await asked(parsing, include_reasoning=False)
        assert not parsing.asked.include_reasoning
        async with site(parsing=parsing) as s:
            for field in ("logprobs", "return_token_ids"):
                refusal = await refused(s, include_reasoning=False, **{field: True})
                assert refusal == (400, field, "invalid_value")


class Keeps(CharTokenizer):
    """Keeps what the template got beside the messages."""

    def __init__(self, *seen: str) -> None:
        self.seen = seen
        self.got: dict[str, Any] = {}

    async def chat(self, *args: Any, documents: Any = None, kwargs: Any = None, **more: Any) -> Any:
        self.got = {"documents": documents, "kwargs": kwargs}
        return await super().chat(*args, **more)


class TestTemplateVariables:
    async def test_are_those_that_the_template_sees(self) -> None:
        tokenizer = Keeps("mood", "documents", "reasoning_effort")
        documents = [{"text": "Old"}]
        fields: dict[str, Any] = {"chat_template_kwargs": {"mood": "gay"}, "documents": documents}
        async with site(echo=1, tokenizer=tokenizer) as s:
            response = await s.post(CHAT, chat(reasoning_effort="low", **fields))
        assert response.status_code == 200
        kwargs = {"mood": "gay", "reasoning_effort": "low"}
        assert tokenizer.got == {"documents": documents, "kwargs": kwargs}

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"chat_template_kwargs": {"mood": "gay"}}, "chat_template_kwargs.mood"),
            ({"documents": [{"text": "Old"}]}, "documents"),
            ({"reasoning_effort": "low"}, "reasoning_effort"),
        ],
    )
    async def test_are_refused_where_it_would_not_see_them(
        self, fields: dict[str, Any], param: str
    ) -> None:
        async with site(tokenizer=Keeps("other")) as s:
            assert await refused(s, **fields) == (400, param, "unsupported_parameter")

    @pytest.mark.parametrize(
        ("seen", "kwargs"),
        [
            (("enable_thinking",), {"enable_thinking": True}),
            (("reasoning_effort",), {"reasoning_effort": "low"}),
        ],
    )
    async def test_tell_an_effort_in_the_way_that_it_sees(
        self, seen: tuple[str, ...], kwargs: dict[str, Any]
    ) -> None:
        tokenizer = Keeps(*seen)
        async with site(echo=1, tokenizer=tokenizer) as s:
            await s.post(CHAT, chat(reasoning_effort="low"))
        assert tokenizer.got["kwargs"] == kwargs

    async def test_may_be_for_the_parser_alone(self) -> None:
        parsing = FakeParsing(reasons=True)
        async with site(echo=1, parsing=parsing, tokenizer=Keeps()) as s:
            body = chat(chat_template_kwargs={"enable_thinking": False})
            assert (await s.post(CHAT, body)).status_code == 200
        assert parsing.asked.chat_template_kwargs == {"enable_thinking": False}
