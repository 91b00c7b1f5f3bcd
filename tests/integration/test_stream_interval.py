"""A client may have the tokens of a stream in larger pieces, and gets the same tokens."""

import json
from typing import Any

import httpx
import pytest

from tests.support import models
from tests.support.server import Server

BODY: dict[str, Any] = {
    "model": models.SMALL,
    "prompt": [11, 12, 13],
    "max_tokens": 20,
    "seed": 5,
    "stream": True,
    "return_token_ids": True,
    "ignore_eos": True,
}


async def chunks(server: Server, **fields: Any) -> list[dict[str, Any]]:
    """The choice of each chunk of the stream."""
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        response = await client.post("/v1/completions", json=BODY | fields)
    assert response.status_code == 200, response.text
    lines = response.text.splitlines()
    events = [line.removeprefix("data: ") for line in lines if line.startswith("data: {")]
    return [json.loads(event)["choices"][0] for event in events]


def joined(pieces: list[dict[str, Any]]) -> tuple[str, list[int], str]:
    ids = [token for piece in pieces for token in piece["token_ids"]]
    return "".join(piece["text"] for piece in pieces), ids, pieces[-1]["finish_reason"]


async def test_the_first_token_comes_at_once_and_then_so_many_together(server: Server) -> None:
    pieces = await chunks(server, stream_interval=7)
    assert [len(piece["token_ids"]) for piece in pieces] == [1, 7, 7, 5]
    assert joined(pieces) == joined(await chunks(server))


async def test_every_token_keeps_its_log_probability(server: Server) -> None:
    pieces = await chunks(server, stream_interval=7, logprobs=1)
    assert [len(piece["logprobs"]["tokens"]) for piece in pieces] == [1, 7, 7, 5]


@pytest.mark.parametrize("include", [False, True])
async def test_a_stop_string_ends_it_where_it_would_without(server: Server, include: bool) -> None:
    text, _, _ = joined(await chunks(server))
    fields = {"stop": text.split()[9], "include_stop_str_in_output": include}
    pieces = await chunks(server, stream_interval=7, **fields)
    assert joined(pieces) == joined(await chunks(server, **fields))
    assert len(pieces) < 4
