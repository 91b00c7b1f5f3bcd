"""Tool calls: the call is of a tool that is offered, with what was asked for."""

import json
from random import Random
from typing import Any

import jsonschema_rs
import pytest

from bench.training.example import UNKNOWN, Example
from bench.training.tasks import tool_calls
from bench.training.words.tool import Tool


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    random = Random(1)
    return [tool_calls.taught(random) for _ in range(2_000)]


def calls(examples: list[Example]) -> list[tuple[Example, dict[str, Any]]]:
    return [
        (example, json.loads(example.answer.splitlines()[1]))
        for example in examples
        if example.answer.startswith("<tool_call>")
    ]


def offered(example: Example, name: str) -> dict[str, Any]:
    functions = [tool["function"] for tool in example.tools]
    [found] = [function for function in functions if function["name"] == name]
    return dict(found)


def name_of(call: str) -> str:
    return str(json.loads(call.splitlines()[1])["name"])


def test_a_call_is_of_an_offered_tool_and_as_its_schema_says(examples: list[Example]) -> None:
    called = calls(examples)
    assert len(called) > 1_000
    for example, call in called:
        schema = offered(example, call["name"])["parameters"]
        assert jsonschema_rs.is_valid(schema, call["arguments"])
        order = [name for name in schema["properties"] if name in call["arguments"]]
        assert list(call["arguments"]) == order


def test_every_argument_was_in_the_request(examples: list[Example]) -> None:
    for example, call in calls(examples):
        for value in call["arguments"].values():
            assert str(value).lower() in example.messages[-1]["content"].lower()


def test_a_call_is_written_as_hermes_models_do(examples: list[Example]) -> None:
    for example, call in calls(examples):
        written = json.dumps(call, ensure_ascii=False)
        assert example.answer == f"<tool_call>\n{written}\n</tool_call>"


def test_some_answers_need_no_tool_and_some_have_none(examples: list[Example]) -> None:
    plain = [example for example in examples if example.messages[-1]["role"] == "user"]
    answers = [e.answer for e in plain if not e.answer.startswith("<tool_call>")]
    assert 0.1 < len(answers) / len(examples) < 0.3
    assert {"positive", "negative", UNKNOWN} < set(answers)


def test_after_a_result_the_answer_tells_it(examples: list[Example]) -> None:
    after = [example for example in examples if example.messages[-1]["role"] == "tool"]
    assert len(after) > 100
    for example in after:
        for value in json.loads(example.messages[-1]["content"]).values():
            assert str(value) in example.answer


def test_nothing_is_calculated_by_the_model_where_a_calculator_is_offered(
    examples: list[Example],
) -> None:
    calculator = tool_calls.CALCULATOR.descriptions
    for example in examples:
        if example.messages[-1]["role"] == "user" and example.answer.lstrip("-").isdigit():
            assert not [t for t in example.tools if t["function"]["description"] in calculator]


def test_no_tool_is_called_twice_in_a_conversation(examples: list[Example]) -> None:
    conversations = 0
    for example in examples:
        said = [m["content"] for m in example.messages if m["role"] == "assistant"]
        names = [
            name_of(call) for call in (*said, example.answer) if call.startswith("<tool_call>")
        ]
        assert len(set(names)) == len(names)
        conversations += len(names) > 1
    assert conversations > len(examples) / 4


def test_between_requests_there_are_some_that_no_tool_is_for(examples: list[Example]) -> None:
    talks = [example.messages for example in examples]
    said = [m["content"] for talk in talks for m in talk if m["role"] == "assistant"]
    assert {UNKNOWN, "positive", tool_calls.DONE} < set(said)


def test_those_held_out_are_of_one_request() -> None:
    random = Random(2)
    for _ in range(200):
        roles = [message["role"] for message in tool_calls.held_out(random).messages]
        assert roles.count("user") == 1 or "tool" not in roles


def test_the_tools_of_a_request_are_short_enough_to_be_read(examples: list[Example]) -> None:
    lengths = [len(json.dumps([tool["function"] for tool in e.tools])) for e in examples]
    assert sum(lengths) / len(lengths) < 600


@pytest.mark.parametrize("tool", tool_calls.TOOLS, ids=lambda tool: str(tool.names[0]))
def test_each_tool_can_be_asked_for_with_all_that_it_requires(tool: Tool) -> None:
    for request in tool.requests:
        for parameter in tool.parameters:
            assert not parameter.required or "{" + parameter.slot + "}" in request
