"""The official asynchronous `openai` client, unmodified, against a real server."""

import asyncio
from collections.abc import AsyncIterator

import openai
import pytest
from openai import AsyncOpenAI

from tests.conformance.weather import GET_WEATHER, QUESTION, WEATHER_TOOL, Weather
from tests.support import models
from tests.support.server import Server, eventually

MODEL = models.SMALL


@pytest.fixture
async def client(server: Server) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def is_idle(server: Server) -> bool:
    return all(engine["running"] == 0 for engine in server.engines(MODEL))


async def test_models_are_listed_page_by_page(client: AsyncOpenAI) -> None:
    assert MODEL in [model.id async for model in client.models.list()]


async def test_many_chats_at_once_are_each_answered(client: AsyncOpenAI) -> None:
    async def ask(city: str) -> str:
        answer = await client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": city}],
            max_tokens=8,
            temperature=0,
        )
        return answer.choices[0].message.content or ""

    together = await asyncio.gather(*map(ask, ["Rome", "Oslo", "Lima", "Bern"]))
    assert [await ask(city) for city in ["Rome", "Oslo", "Lima", "Bern"]] == together


async def test_the_stream_helper_tells_what_happens_and_gives_the_whole(
    client: AsyncOpenAI,
) -> None:
    pieces, kinds = "", set()
    async with client.chat.completions.stream(
        model=MODEL, messages=QUESTION, stop="e", max_tokens=50, temperature=0, logprobs=True
    ) as stream:
        async for event in stream:
            kinds.add(event.type)
            if event.type == "content.delta":
                pieces += event.delta
        answer = await stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done", "logprobs.content.delta"} <= kinds
    assert pieces == answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"


async def test_an_answer_is_parsed_into_a_pydantic_model(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.parse(
        model=MODEL, messages=QUESTION, response_format=Weather, temperature=0
    )
    assert isinstance(answer.choices[0].message.parsed, Weather)


async def test_an_answer_that_is_cut_short_is_the_clients_own_error(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        await client.chat.completions.parse(
            model=MODEL, messages=QUESTION, response_format=Weather, max_tokens=2
        )


async def test_a_tools_arguments_come_parsed_while_they_stream(client: AsyncOpenAI) -> None:
    async with client.chat.completions.stream(
        model=MODEL, messages=QUESTION, tools=[WEATHER_TOOL], tool_choice=GET_WEATHER, seed=1
    ) as stream:
        done = [
            event async for event in stream if event.type == "tool_calls.function.arguments.done"
        ]
    assert [event.name for event in done] == ["get_weather"]
    assert isinstance(done[0].parsed_arguments, Weather)


async def test_the_raw_response_has_the_headers(client: AsyncOpenAI) -> None:
    raw = await client.with_raw_response.chat.completions.create(
        model=MODEL, messages=QUESTION, max_tokens=2
    )
    assert raw.headers["x-request-id"]
    assert raw.http_request.url.path == "/v1/chat/completions"
    assert raw.parse().usage is not None


async def test_a_response_that_streams_can_be_read_line_by_line(client: AsyncOpenAI) -> None:
    async with client.chat.completions.with_streaming_response.create(
        model=MODEL, messages=QUESTION, max_tokens=2, stream=True
    ) as response:
        lines = [line async for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"


async def test_a_stream_that_is_closed_frees_the_engine(
    client: AsyncOpenAI, server: Server
) -> None:
    stream = await client.chat.completions.create(
        model=MODEL,
        messages=QUESTION,
        max_tokens=450,
        stream=True,
        extra_body={"ignore_eos": True},
    )
    async for _ in stream:
        await stream.close()
        break
    eventually(lambda: is_idle(server), 5, "the engine is idle")


async def test_a_request_that_takes_too_long_is_the_clients_own_error(
    client: AsyncOpenAI, server: Server
) -> None:
    with pytest.raises(openai.APITimeoutError):
        await client.chat.completions.create(
            model=MODEL,
            messages=QUESTION,
            max_tokens=450,
            timeout=0.05,
            extra_body={"ignore_eos": True},
        )
    eventually(lambda: is_idle(server), 5, "the engine is idle")
