"""Clients that go, however they go, leave nothing behind in the engine."""

import asyncio
import random

import httpx

from tests.support import models
from tests.support.server import Server, eventually


async def leave_midway(client: httpx.AsyncClient, choose: random.Random) -> None:
    """Ask for a long answer and hang up at a random moment, before or after the first byte."""
    body = {
        "model": models.SMALL,
        "prompt": [choose.randrange(6, 2048) for _ in range(32)],
        "max_tokens": 400,
        "ignore_eos": True,
        "n": choose.choice([1, 1, 1, 2]),
        "stream": choose.random() < 0.5,
    }
    try:
        async with asyncio.timeout(choose.uniform(0.0, 1.5)):
            async with client.stream("POST", "/v1/completions", json=body) as response:
                async for _ in response.aiter_bytes():
                    pass
    except TimeoutError:
        pass


async def test_a_hundred_clients_that_disconnect_at_random_free_everything(server: Server) -> None:
    choose = random.Random(7)
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=60) as client:
        await asyncio.gather(*(leave_midway(client, choose) for _ in range(100)))

    def idle() -> bool:
        (engine,) = server.engines(models.SMALL)
        return not (engine["running"] or engine["waiting"] or engine["kv_cache_usage"])

    eventually(idle, 5, "waiting = running = 0 and no KV block is in use")
