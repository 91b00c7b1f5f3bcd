"""Tools: what clients may send, what the model sees of them, and how a named one is answered."""

import json
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionFunctionToolParam,
)

from deployments.errors import BadRequest
from deployments.messages import Delta, StructuredOutputs
from serve_app.http.chat import answer_to
from serve_app.http.chat_request import ChatRequest
from serve_app.limits import DEFAULT_LIMITS
from tests.unit.http_fixtures import CHAT, CharTokenizer, chat, events, parse_chat, row, say, site

PROMPT = [3, 4]
CITY = {
    "type": "object",
    "properties": {"city": {"enum": ["Rome", None]}},
    "required": ["city"],
}
NO_ARGUMENTS = '{"type":"object","properties":{},"additionalProperties":false}'
ROME = ['{"city": ', '"Ro', 'me"', "}"]


def tool(name: str = "weather", **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


def named(name: str = "weather") -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def asked(**fields: Any) -> ChatRequest:
    return parse_chat(json.dumps(chat(**fields)).encode())


def calling(**fields: Any) -> ChatRequest:
    """A chat that has to be answered by a call of `weather`."""
    return asked(tools=[tool(parameters=CITY)], tool_choice=named(), **fields)


def refusal_of(**fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as refusal:
        asked(**fields)
    assert refusal.value.message.startswith(f"'{refusal.value.param}' ")
    return refusal.value


def streamed(request: ChatRequest, script: Sequence[tuple[int, Delta]]) -> list[dict[str, Any]]:
    """The events of a stream whose deltas come one by one."""
    answer = answer_to(request, PROMPT)
    content = b"".join(answer.encode([pair]) for pair in script) + answer.end()
    return events(content + b"data: [DONE]\n\n")


def whole(request: ChatRequest, *choices: Delta) -> dict[str, Any]:
    rendered: dict[str, Any] = json.loads(answer_to(request, PROMPT).whole(choices))
    return rendered


def spoken(texts: Sequence[str], index: int = 0) -> list[tuple[int, Delta]]:
    """Deltas that say `texts`, and end with the last."""
    *before, last = texts
    return [*((index, say(text)) for text in before), (index, say(last, finish_reason="stop"))]


def deltas(stream: Sequence[dict[str, Any]], index: int = 0) -> list[dict[str, Any]]:
    choices = [event["choices"][0] for event in stream]
    return [choice["delta"] for choice in choices if choice["index"] == index]


def arguments(stream: Sequence[dict[str, Any]], index: int = 0) -> str:
    calls = [call for delta in deltas(stream, index) for call in delta.get("tool_calls", ())]
    return "".join(call["function"]["arguments"] for call in calls)


class TestTools:
    @pytest.mark.parametrize(
        ("tools", "param", "code"),
        [
            ([], "tools", "invalid_value"),
            ({}, "tools", "invalid_type"),
            (["weather"], "tools[0]", "invalid_type"),
            ([{}], "tools[0].type", "missing_required_parameter"),
            ([{"type": "function"}], "tools[0].function", "missing_required_parameter"),
            ([{"type": "custom", "custom": {}}], "tools[0].type", "unsupported_parameter"),
            ([{"type": "magic"}], "tools[0].type", "invalid_value"),
            ([tool(), {**tool("b"), "x": 1}], "tools[1].x", "unknown_parameter"),
            ([tool(x=1)], "tools[0].function.x", "unknown_parameter"),
            ([{**tool(), "function": {}}], "tools[0].function.name", "missing_required_parameter"),
            ([tool("")], "tools[0].function.name", "invalid_value"),
            ([tool("two words")], "tools[0].function.name", "invalid_value"),
            ([tool("x" * 65)], "tools[0].function.name", "invalid_value"),
            ([tool(description=1)], "tools[0].function.description", "invalid_type"),
            ([tool(strict=1)], "tools[0].function.strict", "invalid_type"),
            ([tool(parameters="{}")], "tools[0].function.parameters", "invalid_type"),
            ([tool(parameters={})], "tools[0].function.parameters.type", "invalid_value"),
            (
                [tool(parameters={"type": "array"})],
                "tools[0].function.parameters.type",
                "invalid_value",
            ),
            ([tool(), tool()], "tools", "invalid_value"),
        ],
    )
    def test_are_refused_when_they_are_not_well_formed(
        self, tools: Any, param: str, code: str
    ) -> None:
        refusal = refusal_of(tools=tools, tool_choice="none")
        assert (refusal.param, refusal.code) == (param, code)

    def test_are_refused_beyond_their_limits(self) -> None:
        many = [tool(f"f{i}") for i in range(DEFAULT_LIMITS.tools + 1)]
        assert asked(tools=many[1:], tool_choice="none").tools
        assert refusal_of(tools=many, tool_choice="none").param == "tools"
        for parameters in (
            {"type": "object", "title": "x" * DEFAULT_LIMITS.schema_bytes},
            {"type": "object", "properties": json.loads('{"a":' * 16 + "1" + "}" * 16)},
        ):
            refusal = refusal_of(tools=[tool(parameters=parameters)], tool_choice="none")
            assert refusal.param == "tools[0].function.parameters"

    @pytest.mark.parametrize(
        ("choice", "strict"), [("none", True), ("auto", None), ("auto", False)]
    )
    def test_may_use_any_keyword_where_no_call_is_held_to_it(
        self, choice: str, strict: bool | None
    ) -> None:
        parameters = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
        tools = [tool(parameters=parameters, strict=strict)]
        assert asked(tools=tools, tool_choice=choice).tools
        assert asked(tools=[*tools, tool("b")], tool_choice=named("b")).tools

    @pytest.mark.parametrize(
        ("choice", "strict"), [("auto", True), ("required", None), (named(), False)]
    )
    def test_are_refused_for_a_keyword_that_calls_would_not_be_held_to(
        self, choice: Any, strict: bool | None
    ) -> None:
        parameters = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
        tools = [tool("b"), tool(parameters=parameters, strict=strict)]
        refusal = refusal_of(tools=tools, tool_choice=choice)
        assert refusal.param == "tools[1].function.parameters"
        assert refusal.code == "unsupported_parameter"

    def test_that_share_a_name_are_told_which(self) -> None:
        refusal = refusal_of(tools=[tool("a"), tool("b"), tool("b")], tool_choice="none")
        assert refusal.message == "'tools' must not name two functions \"b\"."

    def test_go_to_the_template_as_the_client_wrote_them_but_for_nulls(self) -> None:
        tools = [tool("a", parameters=CITY, strict=True), tool("b", description='Say "b"')]
        nulls = tool("c", description=None, parameters=None, strict=None)
        request = asked(tools=[*tools, nulls], tool_choice="none")
        assert request.tools_for_template == [*tools, tool("c")]

    def test_are_none_for_the_template_without_any(self) -> None:
        assert asked().tools_for_template is None

    def test_leave_the_answer_free_when_none_is_to_be_called(self) -> None:
        request = asked(tools=[tool(parameters=CITY)], tool_choice="none")
        assert request.structured_outputs is None
        assert request.function is None


class TestToolChoice:
    @pytest.mark.parametrize(
        ("choice", "param", "code"),
        [
            ("weather", "tool_choice", "invalid_value"),
            (["weather"], "tool_choice", "invalid_type"),
            (True, "tool_choice", "invalid_type"),
            ({}, "tool_choice.type", "missing_required_parameter"),
            ({"type": "allowed_tools"}, "tool_choice.type", "unsupported_parameter"),
            ({"type": "custom"}, "tool_choice.type", "unsupported_parameter"),
            ({"type": "function"}, "tool_choice.function", "missing_required_parameter"),
            ({**named(), "x": 1}, "tool_choice.x", "unknown_parameter"),
            ({**named(), "function": "weather"}, "tool_choice.function", "invalid_type"),
            (
                {**named(), "function": {"name": "weather", "arguments": "{}"}},
                "tool_choice.function.arguments",
                "unknown_parameter",
            ),
            (named("whether"), "tool_choice.function.name", "invalid_value"),
        ],
    )
    def test_is_refused_unless_it_is_a_mode_or_one_of_the_tools(
        self, choice: Any, param: str, code: str
    ) -> None:
        refusal = refusal_of(tools=[tool()], tool_choice=choice)
        assert (refusal.param, refusal.code) == (param, code)

    def test_is_the_models_own_where_nothing_is_said_beside_tools(self) -> None:
        assert asked(tools=[tool()]).choice == "auto"
        assert asked().choice == "none"

    @pytest.mark.parametrize("choice", ["auto", "required"])
    def test_needs_something_to_choose_from(self, choice: str) -> None:
        refusal = refusal_of(tool_choice=choice)
        assert (refusal.param, refusal.code) == ("tool_choice", "invalid_value")
        assert asked(tool_choice="none").function is None

    def test_may_not_name_a_function_without_tools(self) -> None:
        assert refusal_of(tool_choice=named()).param == "tool_choice.function.name"

    @pytest.mark.parametrize(
        ("parameters", "schema"),
        [
            (
                {"type": "object", "properties": {"a": {"enum": ["é", None]}}},
                '{"type":"object","properties":{"a":{"enum":["é",null]}}}',
            ),
            ({"type": "object"}, '{"type":"object"}'),
            (None, NO_ARGUMENTS),
        ],
    )
    def test_makes_the_functions_parameters_the_form_of_the_answer(
        self, parameters: Any, schema: str
    ) -> None:
        tools = [tool("other", parameters={"type": "object"}), tool(parameters=parameters)]
        request = asked(tools=tools, tool_choice=named())
        expected = StructuredOutputs(json=schema)
        assert request.sampling(default={}, max_tokens=9).structured_outputs == expected

    @pytest.mark.parametrize(
        "fields",
        [
            {"response_format": {"type": "json_object"}},
            {"ignore_eos": True},
            {"min_tokens": 1},
        ],
    )
    def test_of_a_call_is_refused_beside_what_it_would_overrule(
        self, fields: dict[str, Any]
    ) -> None:
        for choice in ("required", named()):
            refusal = refusal_of(tools=[tool()], tool_choice=choice, **fields)
            assert [refusal.param] == list(fields)

    @pytest.mark.parametrize("parallel", [True, False])
    def test_that_is_required_makes_calls_the_form_of_the_answer(self, parallel: bool) -> None:
        tools = [tool("other"), tool(parameters=CITY)]
        request = asked(tools=tools, tool_choice="required", parallel_tool_calls=parallel)
        form = request.sampling(default={}, max_tokens=9).structured_outputs
        schema = json.loads((form and form.json) or "")
        assert schema["$defs"]["weather"] == CITY
        assert schema.get("maxItems") == (None if parallel else 1)

    def test_of_a_function_goes_together_with_a_format_of_free_text(self) -> None:
        assert calling(response_format={"type": "text"}).function is not None


PLAUSIBLE = st.recursive(
    st.none() | st.booleans() | st.sampled_from(["function", "weather", "object", "none"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["type", "function", "name", "parameters"]), inner)
    ),
    max_leaves=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=300)
@given(tools=PLAUSIBLE | st.just([tool()]), choice=PLAUSIBLE | st.just(named()))
def test_whatever_is_sent_as_tools_is_understood_or_refused_by_name(
    tools: Any, choice: Any
) -> None:
    try:
        request = asked(tools=tools, tool_choice=choice)
    except BadRequest as exc:
        refusal: BadRequest | None = exc
    else:
        refusal = None
        assert (request.function is None) == (choice in (None, "none"))
    assert refusal is None or (refusal.param or "").startswith("tool")


class TestNamedTool:
    def test_is_answered_by_a_message_that_has_the_call_and_no_content(self) -> None:
        answer = whole(calling(), say("".join(ROME), finish_reason="stop"))
        ChatCompletion.model_validate(answer)
        [choice] = answer["choices"]
        [call] = choice["message"].pop("tool_calls")
        assert choice["message"] == {"role": "assistant", "content": None, "refusal": None}
        assert call.pop("id").startswith("call_")
        assert call == {
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city": "Rome"}'},
        }

    @pytest.mark.parametrize("reason", ["stop", "length"])
    def test_ends_for_the_engines_own_reason(self, reason: str) -> None:
        last = say("{}", finish_reason=reason)
        assert whole(calling(), last)["choices"][0]["finish_reason"] == reason
        stream = streamed(calling(stream=True), [(0, last)])
        assert [event["choices"][0]["finish_reason"] for event in stream] == [None, None, reason]

    def test_is_streamed_as_a_role_then_the_call_then_its_arguments(self) -> None:
        stream = streamed(calling(stream=True), spoken(ROME))
        for event in stream:
            ChatCompletionChunk.model_validate(event)
        role, opening, *rest = deltas(stream)
        assert role == {"role": "assistant", "content": None}
        [call] = opening["tool_calls"]
        assert call.pop("id").startswith("call_")
        assert call == {
            "index": 0,
            "type": "function",
            "function": {"name": "weather", "arguments": ""},
        }
        assert rest == [
            {"tool_calls": [{"index": 0, "function": {"arguments": text}}]} for text in ROME
        ]

    def test_is_put_together_by_openais_own_client(self) -> None:
        strict = cast(ChatCompletionFunctionToolParam, tool(parameters=CITY, strict=True))
        state = ChatCompletionStreamState(input_tools=[strict])
        for event in streamed(calling(stream=True), spoken(ROME)):
            state.handle_chunk(ChatCompletionChunk.model_validate(event))
        message = state.get_final_completion().choices[0].message
        assert message.content is None
        assert message.tool_calls is not None
        [call] = message.tool_calls
        assert call.function.parsed_arguments == {"city": "Rome"}

    def test_has_chunks_of_the_same_keys_whatever_made_them(self) -> None:
        stream = streamed(calling(stream=True), spoken(ROME))
        keys = {frozenset(event) for event in stream}
        assert keys == {frozenset({"id", "object", "created", "model", "choices"})}
        plain = {"index", "delta", "logprobs", "finish_reason"}
        *before, last = [set(event["choices"][0]) for event in stream]
        assert before == [plain] * 5
        assert last == plain | {"stop_reason"}

    @pytest.mark.parametrize(
        "text", ['"a\\"b"', "\n\t\x00", "\u2028é🙂", "data: [DONE]\n\n"], ids=ascii
    )
    def test_has_arguments_as_the_engine_said_them(self, text: str) -> None:
        assert arguments(streamed(calling(stream=True), spoken([text] * 3))) == 3 * text
        call = whole(calling(), say(text))["choices"][0]["message"]["tool_calls"][0]
        assert call["function"]["arguments"] == text

    def test_makes_no_chunk_of_a_token_without_text(self) -> None:
        stream = streamed(calling(stream=True), spoken(["{", "", "}", ""]))
        assert len(stream) == 5  # the role, the call, { and }, the end

    def test_has_a_call_of_its_own_for_each_choice(self) -> None:
        request = calling(stream=True, n=2)
        script = [pair for both in zip(spoken(ROME), spoken(ROME, 1), strict=True) for pair in both]
        stream = streamed(request, script)
        assert arguments(stream, 0) == arguments(stream, 1) == '{"city": "Rome"}'
        ids = {deltas(stream, index)[1]["tool_calls"][0]["id"] for index in range(2)}
        assert len(ids) == 2
        choices = whole(calling(n=2), say("{}"), say("{}"))["choices"]
        assert len({choice["message"]["tool_calls"][0]["id"] for choice in choices}) == 2

    def test_has_log_probabilities_and_token_ids_on_request(self) -> None:
        request = calling(stream=True, logprobs=True, return_token_ids=True)
        rows = [row(("{", -0.5))]
        stream = streamed(request, [(0, say("{", 8, logprobs=rows)), (0, say("}", 9))])
        assert [event.get("prompt_token_ids") for event in stream] == [PROMPT, None, None, None]
        choices = [event["choices"][0] for event in stream]
        assert [choice.get("token_ids") for choice in choices] == [None, None, [8], [9]]
        assert [entry["token"] for entry in choices[2]["logprobs"]["content"]] == ["{"]
        assert arguments(stream) == "{}"

    def test_counts_its_tokens(self) -> None:
        request = calling(stream=True, stream_options={"include_usage": True})
        usage = streamed(request, spoken(ROME))[-1]["usage"]
        assert (usage["prompt_tokens"], usage["completion_tokens"]) == (2, 4)


class ToolTokenizer(CharTokenizer):
    """Keeps the tools that the template got."""

    def __init__(self) -> None:
        self.tools: list[Any] = []

    async def chat(self, *args: Any, tools: Any = None, **fields: Any) -> list[int]:
        self.tools.append(tools)
        return await super().chat(*args, **fields)


class TestChats:
    async def test_show_their_tools_to_the_model_and_answer_by_the_named_one(self) -> None:
        tokenizer = ToolTokenizer()
        tools = [tool(parameters=CITY)]
        async with site(tokenizer=tokenizer) as s:
            body = chat(tools=tools, tool_choice=named())
            response = await s.answer(CHAT, body, [delta for _, delta in spoken(ROME)])
            [sequence] = await s.submitted()
        assert tokenizer.tools == [tools]
        form = sequence.sampling.structured_outputs
        assert form is not None
        assert json.loads(form.json or "") == CITY
        [call] = response.json()["choices"][0]["message"]["tool_calls"]
        assert call["function"]["arguments"] == '{"city": "Rome"}'

    async def test_answer_in_text_where_no_tool_is_to_be_called(self) -> None:
        async with site(tokenizer=ToolTokenizer()) as s:
            body = chat(tools=[tool()], tool_choice="none")
            response = await s.answer(CHAT, body, [say("No.", finish_reason="stop")])
        message = response.json()["choices"][0]["message"]
        assert message == {"role": "assistant", "content": "No.", "refusal": None}

    async def test_have_no_tools_for_the_model_unless_they_bring_some(self) -> None:
        tokenizer = ToolTokenizer()
        async with site(echo=1, tokenizer=tokenizer) as s:
            await s.post(CHAT, chat())
        assert tokenizer.tools == [None]
