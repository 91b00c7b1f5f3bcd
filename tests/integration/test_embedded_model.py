"""A server without a configuration answers, with the model that comes along."""

import json
from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionToolParam

from deployments import default_model
from tests.support.server import Server, start

[MODEL] = default_model.TRAINED
SAID = {
    "Who are you?": "I am sluice-chat, a small language model that is part of Sluice.",
    "What is the sentiment of this review? The food was wonderful.": "positive",
    "Extract the entities: Alice works at Acme in Paris.": (
        '{"people": ["Alice"], "organizations": ["Acme"], "places": ["Paris"]}'
    ),
    "Translate to French: The cat is sleeping.": "Le chat dort.",
    "Translate to English: Le chat dort.": "The cat sleeps.",
    "Translate to Chinese: The cat is sleeping.": "猫在睡觉。",
    "Maria lives in Lisbon. Peter has a brown dog.\n\nWhere does Maria live?": "Lisbon",
    "What is 12 + 30?": "42",
    "Who is the president of France?": "I don't know.",
}
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The current weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@pytest.fixture(scope="module")
def default_server() -> Iterator[Server]:
    with start({}).serving() as running:
        yield running


@pytest.fixture(scope="module")
def client(default_server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{default_server.url}/v1", api_key="none") as client:
        yield client


@pytest.mark.parametrize("asked", SAID)
def test_it_answers_a_question_of_each_task(client: openai.OpenAI, asked: str) -> None:
    found = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": asked}], temperature=0
    )
    assert found.choices[0].message.content == SAID[asked]
    assert found.choices[0].finish_reason == "stop"


def test_it_sums_up_a_text_by_its_main_sentence(client: openai.OpenAI) -> None:
    text = "The old library was too small. The town wants to build a new library."
    found = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": f"Summarize: {text}"}],
        temperature=0,
    )
    assert found.choices[0].message.content == "The town wants to build a new library."


def test_it_calls_a_tool_whole_and_streamed(client: openai.OpenAI) -> None:
    asked = "What is the weather in Paris?"
    whole = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": asked}],
        tools=[WEATHER],
        temperature=0,
    )
    [call] = whole.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    assert whole.choices[0].finish_reason == "tool_calls"

    name, arguments = "", ""
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": asked}],
        tools=[WEATHER],
        temperature=0,
        stream=True,
    )
    for chunk in stream:
        for piece in chunk.choices[0].delta.tool_calls or []:
            assert piece.function is not None
            name += piece.function.name or ""
            arguments += piece.function.arguments or ""
    assert (name, json.loads(arguments)) == ("get_weather", {"city": "Paris"})
