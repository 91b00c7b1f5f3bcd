"""Embeddings by the official `openai` client, unmodified, from a real embedding model."""

from collections.abc import AsyncIterator

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.support import models
from tests.support.server import Server

MODEL = "minilm"
TEXTS = ["A cat is sleeping.", "A kitten naps.", "Stocks fell sharply on Monday."]


@pytest.fixture(scope="module")
def client(server: Server) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


@pytest.fixture
async def async_client(server: Server) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def product(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_texts_that_say_much_the_same_lie_close(client: OpenAI) -> None:
    # The client asks for base64 by itself, and decodes it.
    answer = client.embeddings.create(model=MODEL, input=TEXTS)
    cat, kitten, stocks = (each.embedding for each in answer.data)
    assert [each.index for each in answer.data] == [0, 1, 2]
    assert product(cat, cat) == pytest.approx(1, abs=1e-5)
    assert product(cat, kitten) > 0.4 > product(cat, stocks)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens > 0


def test_floats_are_what_base64_says(client: OpenAI) -> None:
    decoded = client.embeddings.create(model=MODEL, input=TEXTS[0])
    floats = client.embeddings.create(model=MODEL, input=TEXTS[0], encoding_format="float")
    assert floats.data[0].embedding == pytest.approx(decoded.data[0].embedding, abs=1e-6)


async def test_the_async_client_has_the_same(async_client: AsyncOpenAI, client: OpenAI) -> None:
    one = await async_client.embeddings.create(model=MODEL, input=TEXTS[:1])
    other = client.embeddings.create(model=MODEL, input=TEXTS[:1])
    assert one.data[0].embedding == pytest.approx(other.data[0].embedding, abs=1e-6)


def test_what_a_model_does_not_do_is_told_by_its_name(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as no_embedder:
        client.embeddings.create(model=models.SMALL, input="Hello")
    assert (no_embedder.value.param, no_embedder.value.code) == ("model", "unsupported_task")
    with pytest.raises(openai.BadRequestError) as no_generator:
        client.completions.create(model=MODEL, prompt="Hello")
    assert (no_generator.value.param, no_generator.value.code) == ("model", "unsupported_task")
    with pytest.raises(openai.BadRequestError) as no_matryoshka:
        client.embeddings.create(model=MODEL, input="Hello", dimensions=8)
    assert no_matryoshka.value.param == "dimensions"
