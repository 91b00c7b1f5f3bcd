"""What the server generates is what vLLM generates, token for token."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.support import models
from tests.support.server import Server

COUNT, MAX_TOKENS, AT_ONCE = 50, 24, 32


@pytest.fixture(scope="module", params=[models.SMALL, models.LARGE])
def expected(request: pytest.FixtureRequest) -> tuple[str, list[list[int]]]:
    """A model and vLLM's own greedy answers of it."""
    model: str = request.param
    return model, models.reference(model, models.prompts(COUNT), MAX_TOKENS)


async def complete(client: httpx.AsyncClient, body: dict[str, Any]) -> list[int]:
    """The token ids of one completion."""
    response = await client.post("/v1/completions", json=body)
    assert response.status_code == 200, response.text
    ids: list[int] = response.json()["choices"][0]["token_ids"]
    return ids


async def stream(client: httpx.AsyncClient, body: dict[str, Any]) -> list[int]:
    """The same over a stream, and its usage agrees with what came."""
    body = {**body, "stream": True, "stream_options": {"include_usage": True}}
    ids: list[int] = []
    usage = None
    async with client.stream("POST", "/v1/completions", json=body) as response:
        assert response.status_code == 200
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                chunk = json.loads(line.removeprefix("data: "))
                usage = chunk.get("usage") or usage
                for choice in chunk["choices"]:
                    ids += choice["token_ids"]
    assert usage is not None
    assert usage["completion_tokens"] == len(ids)
    assert usage["prompt_tokens"] == len(body["prompt"])
    return ids


@pytest.mark.parametrize("ask", [complete, stream], ids=["whole", "streamed"])
async def test_greedy_token_ids_equal_those_of_vllm_itself(
    server: Server, expected: tuple[str, list[list[int]]], ask: Any
) -> None:
    model, answers = expected
    places = asyncio.Semaphore(AT_ONCE)

    async def one(prompt: list[int]) -> list[int]:
        async with places:
            ids: list[int] = await ask(
                client,
                {
                    "model": model,
                    "prompt": prompt,
                    "max_tokens": MAX_TOKENS,
                    "temperature": 0,
                    "return_token_ids": True,
                },
            )
            return ids

    async with httpx.AsyncClient(base_url=server.url, timeout=120) as client:
        got = await asyncio.gather(*(one(prompt) for prompt in models.prompts(COUNT)))
    assert list(got) == answers
