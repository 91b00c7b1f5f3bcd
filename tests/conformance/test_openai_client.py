"""The official `openai` client, unmodified, against a real server."""

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ParsedChoice

from tests.conformance.weather import GET_WEATHER, QUESTION, WEATHER_TOOL, Weather
from tests.support import models
from tests.support.server import Server

MODEL = models.SMALL


@pytest.fixture(scope="module")
def client(server: Server) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def test_models_are_listed_and_found(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [
        models.SMALL,
        models.LARGE,
        *models.POOLING,
    ]
    assert client.models.retrieve(MODEL).id == MODEL


def test_a_model_that_is_not_served_is_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.models.retrieve("nobody")
    assert (unknown.value.param, unknown.value.code) == ("model", "model_not_found")


def test_a_chat_completion_has_text_and_exact_usage(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Hello"}], max_tokens=12
    )
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 12
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 12


def test_a_streamed_chat_says_the_same_as_a_whole_one(client: OpenAI) -> None:
    whole = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Hello"}],
        max_completion_tokens=12,
        temperature=0,
    )
    chunks = list(
        client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Hello"}],
            max_completion_tokens=12,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens


async def test_the_async_client_streams_completions(server: Server) -> None:
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        stream = await client.completions.create(
            model=MODEL, prompt="The king", max_tokens=8, stream=True, n=2, seed=3
        )
        texts = ["", ""]
        async for chunk in stream:
            for choice in chunk.choices:
                texts[choice.index] += choice.text
    assert all(texts)
    assert texts[0] != texts[1]


def test_a_seed_makes_sampling_repeatable(client: OpenAI) -> None:
    def ask(seed: int) -> str:
        return (
            client.completions.create(model=MODEL, prompt="The king", max_tokens=8, seed=seed)
            .choices[0]
            .text
        )

    assert ask(1) == ask(1)
    assert ask(1) != ask(2)


def test_generation_ends_before_a_stop_string(client: OpenAI) -> None:
    free = client.completions.create(model=MODEL, prompt="The king", max_tokens=12, temperature=0)
    words = free.choices[0].text.split(" ")
    stopped = client.completions.create(
        model=MODEL, prompt="The king", max_tokens=12, temperature=0, stop=words[5]
    )
    assert stopped.choices[0].finish_reason == "stop"
    assert stopped.choices[0].text == free.choices[0].text[: free.choices[0].text.index(words[5])]


def test_log_probabilities_come_in_openai_shape(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Hello"}],
        max_tokens=4,
        temperature=0,
        logprobs=True,
        top_logprobs=3,
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert len(logprobs.content) == 4
    for entry in logprobs.content:
        assert len(entry.top_logprobs) == 3
        assert entry.token == entry.top_logprobs[0].token  # greedy chooses the likeliest
        assert entry.logprob <= 0


def test_an_echoed_completion_begins_with_its_prompt(client: OpenAI) -> None:
    answer = client.completions.create(
        model=MODEL, prompt="The king", max_tokens=3, echo=True, logprobs=1, temperature=0
    )
    choice = answer.choices[0]
    assert choice.text.startswith("The king")
    assert choice.logprobs is not None
    assert choice.logprobs.tokens is not None
    assert choice.logprobs.token_logprobs is not None
    values: list[float | None] = [*choice.logprobs.token_logprobs]
    assert values[0] is None  # nothing comes before a prompt's first token
    assert answer.usage is not None
    assert len(choice.logprobs.tokens) == answer.usage.total_tokens


def test_errors_are_the_clients_own_exception_classes(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.completions.create(model="nobody", prompt="x")
    assert unknown.value.code == "model_not_found"
    assert unknown.value.param == "model"
    with pytest.raises(openai.BadRequestError) as wrong_type:
        client.completions.create(model=MODEL, prompt="x", max_tokens=True)
    assert wrong_type.value.param == "max_tokens"
    with pytest.raises(openai.BadRequestError) as too_long:
        client.completions.create(model=MODEL, prompt=[7] * 500, max_tokens=100)
    assert too_long.value.code == "context_length_exceeded"


def test_a_token_id_beyond_the_vocabulary_is_the_clients_mistake(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        client.completions.create(model=MODEL, prompt=[999_999], max_tokens=1)
    assert (refusal.value.param, refusal.value.code) == ("prompt", "invalid_value")


def assert_calls_get_weather(choice: ParsedChoice[None]) -> None:
    assert choice.finish_reason == "stop"
    assert choice.message.content is None
    assert choice.message.tool_calls is not None
    [call] = choice.message.tool_calls
    assert call.function.name == "get_weather"
    assert isinstance(call.function.parsed_arguments, Weather)


def test_an_answer_has_the_form_that_a_pydantic_model_gives_it(client: OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=MODEL, messages=QUESTION, response_format=Weather, seed=1, n=2, logprobs=True
    )
    for choice in answer.choices:
        assert choice.finish_reason == "stop"
        assert isinstance(choice.message.parsed, Weather)
        assert choice.logprobs is not None
        assert choice.logprobs.content


def test_a_streamed_answer_has_the_form_of_a_whole_one(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=QUESTION, response_format=Weather, temperature=0
    ) as stream:
        streamed = stream.get_final_completion().choices[0].message
    whole = client.chat.completions.parse(
        model=MODEL, messages=QUESTION, response_format=Weather, temperature=0
    )
    assert isinstance(streamed.parsed, Weather)
    assert streamed.content == whole.choices[0].message.content


def test_a_completion_has_the_form_of_its_schema(client: OpenAI) -> None:
    schema = {"name": "weather", "schema": Weather.model_json_schema()}
    answer = client.completions.create(
        model=MODEL,
        prompt="The weather",
        max_tokens=64,
        temperature=0,
        extra_body={"response_format": {"type": "json_schema", "json_schema": schema}},
    )
    assert Weather.model_validate_json(answer.choices[0].text)


def test_a_named_tool_is_called_with_arguments_of_its_schema(client: OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=MODEL, messages=QUESTION, tools=[WEATHER_TOOL], tool_choice=GET_WEATHER, seed=1, n=2
    )
    for choice in answer.choices:
        assert_calls_get_weather(choice)
    calls = [(choice.message.tool_calls or [])[0] for choice in answer.choices]
    assert calls[0].id != calls[1].id


def test_a_streamed_call_is_put_together_as_a_whole_one(client: OpenAI) -> None:
    pieces = ""
    with client.chat.completions.stream(
        model=MODEL, messages=QUESTION, tools=[WEATHER_TOOL], tool_choice=GET_WEATHER, seed=1
    ) as stream:
        for event in stream:
            if event.type == "tool_calls.function.arguments.delta":
                pieces += event.arguments_delta
        answer = stream.get_final_completion()
    assert_calls_get_weather(answer.choices[0])
    assert Weather.model_validate_json(pieces)


def test_a_call_that_is_required_is_one_of_the_tools(client: OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=MODEL,
        messages=QUESTION,
        tools=[WEATHER_TOOL],
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0,
    )
    [choice] = answer.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    assert isinstance(choice.message.tool_calls[0].function.parsed_arguments, Weather)


def test_the_answer_to_a_call_goes_on_from_it(client: OpenAI) -> None:
    asked = client.chat.completions.create(
        model=MODEL, messages=QUESTION, tools=[WEATHER_TOOL], tool_choice=GET_WEATHER, temperature=0
    )
    said = asked.choices[0].message.to_dict()
    messages = [*QUESTION, said, {"role": "user", "content": "So?"}]
    answer = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=4)  # type: ignore[arg-type]
    assert answer.choices[0].message.content


def test_tools_among_which_the_model_would_choose_are_refused(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        client.chat.completions.create(model=MODEL, messages=QUESTION, tools=[WEATHER_TOOL])
    assert (refusal.value.param, refusal.value.code) == ("tool_choice", "unsupported_parameter")
