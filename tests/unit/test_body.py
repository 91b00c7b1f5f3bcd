import asyncio

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from deployments.errors import PayloadTooLarge
from serve_app.http import body
from serve_app.http.body import read_json_body


def request(*pieces: bytes, ends: bool = True, **headers: str) -> Request:
    """A request whose body comes in these pieces; without an end the rest is waited for."""
    coming = iter(pieces)

    async def receive() -> Message:
        piece = next(coming, None)
        if piece is None and not ends:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    given = {"content-type": "application/json", **headers}
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


async def test_pieces_become_one_body() -> None:
    assert await read_json_body(request(b"ab", b"", b"c"), 3) == b"abc"


@pytest.mark.parametrize("ends", [True, False])
async def test_a_piece_too_much_is_refused_though_more_may_come(ends: bool) -> None:
    with pytest.raises(PayloadTooLarge):
        await read_json_body(request(b"ab", b"cd", ends=ends), 3)


async def test_a_body_that_declares_too_much_is_refused_unread() -> None:
    with pytest.raises(PayloadTooLarge):
        await read_json_body(request(ends=False, content_length="4"), 3)


async def test_a_body_that_does_not_come_is_a_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "BODY_S", 0.01)
    with pytest.raises(HTTPException) as late:
        await read_json_body(request(b"a", ends=False), 3)
    assert late.value.status_code == 408
