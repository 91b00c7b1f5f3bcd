"""The official `openai` client, unmodified, against a real server."""

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.support import models
from tests.support.server import Server

MODEL = models.SMALL


@pytest.fixture(scope="module")
def client(server: Server) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def test_models_are_listed_and_found(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [models.SMALL, models.LARGE]
    assert client.models.retrieve(MODEL).id == MODEL


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
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model=MODEL, prompt=[999_999], max_tokens=1)
