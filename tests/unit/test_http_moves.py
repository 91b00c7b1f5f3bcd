"""What a client sees when an engine is lost in the middle of its answer: nothing of it."""

import json
import re
from typing import Any

import pytest

from deployments.speech import Asked, CallPiece, Said
from tests.unit.fakes import Serving, until
from tests.unit.http_fixtures import (
    CHAT,
    COMPLETIONS,
    MODEL,
    Exchange,
    Site,
    chat,
    completion,
    events,
    site,
)
from tests.unit.speech_fixtures import FakeHeard, FakeParsing, FakeReader, spoken_chat

WORDS = 6
USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}
ONE: list[tuple[str, dict[str, Any]]] = [
    (CHAT, chat(stream=True, **USAGE)),
    (CHAT, chat(stream=True, logprobs=True, top_logprobs=2, return_token_ids=True, **USAGE)),
    (COMPLETIONS, completion(stream=True, logprobs=1, **USAGE)),
    (CHAT, chat(stream=True, **spoken_chat(), **USAGE)),
]
SEVERAL: list[tuple[str, dict[str, Any]]] = [
    (CHAT, chat(n=2, stream=True, **USAGE)),
    (COMPLETIONS, completion(["Hi", "Ho"], n=2, stream=True, logprobs=1, **USAGE)),
]
at_every_token = pytest.mark.parametrize("after", range(WORDS))


def sequences_of(body: dict[str, Any]) -> int:
    prompts = body.get("prompt")
    return int(body.get("n", 1)) * (len(prompts) if isinstance(prompts, list) else 1)


def anonymous(content: bytes) -> bytes:
    """A stream without what no two have in common."""
    return re.sub(rb'"(id|created)":("[^"]*"|\d+)', rb'"\1":0', content)


def by_choice(content: bytes) -> dict[int, list[dict[str, Any]]]:
    """The choices in the events of a stream, for each index, in their order."""
    choices: dict[int, list[dict[str, Any]]] = {}
    for event in events(content):
        for choice in event["choices"]:
            choices.setdefault(choice["index"], []).append(choice)
    return choices


class CountingReader(FakeReader):
    """Takes two words for thoughts and the third for the name of a function; so it has to know what
    came before."""

    def read(self, text: str, token_ids: list[int], *, last: bool) -> Said:
        self.reads.append(text)
        number = len(self.reads)
        if number <= 2:
            return Said(reasoning=text)
        name = text if number == 3 else None
        return Said(calls=[CallPiece(0, "" if name else text, name)])


class CountingParsing(FakeParsing):
    def hear(self, asked: Asked) -> FakeHeard:
        heard = super().hear(asked)
        heard.reader = CountingReader  # type: ignore[method-assign]
        return heard


async def undisturbed(path: str, body: dict[str, Any]) -> bytes:
    async with site(echo=WORDS, parsing=CountingParsing()) as s:
        response = await s.post(path, body)
    assert response.status_code == 200
    return response.content


async def at_a_standstill(s: Site, sequences: int, after: int) -> Serving:
    """Wait until engines have said so many tokens of each sequence; returns one that works."""

    def emitted() -> list[int]:
        tickets = [t for link in s.router.pools[MODEL].links for t in link.tickets]
        return [len(ticket.emitted) for ticket in tickets]

    await until(lambda: emitted() == [after] * sequences, f"{after} tokens of each")
    await until(lambda: sum(len(each.engine.running) for each in s.servings) == sequences)
    return next(each for each in s.servings if each.engine.running)


async def disturbed(path: str, body: dict[str, Any], after: int) -> bytes:
    """The stream of two engines, of which one is lost after so many tokens of each sequence."""
    async with site(echo=WORDS, engines=2, parsing=CountingParsing()) as s:
        for each in s.servings:
            each.engine.speaks_until = after
        exchange: Exchange = s.open(path, body)
        lost = await at_a_standstill(s, sequences_of(body), after)
        for each in s.servings:
            if each is not lost:
                each.engine.resume()
        await lost.die()
        await exchange.task
        assert s.router.pools[MODEL].dispatcher.moves > 0
    assert exchange.status == 200
    return exchange.content


@pytest.mark.parametrize(
    ("path", "body"), ONE, ids=["chat", "chat-logprobs", "completion", "chat-tools"]
)
@at_every_token
async def test_one_stream_is_the_same_byte_for_byte(
    path: str, body: dict[str, Any], after: int
) -> None:
    content = await disturbed(path, body, after)
    assert anonymous(content) == anonymous(await undisturbed(path, body))


@pytest.mark.parametrize(("path", "body"), SEVERAL, ids=["chat", "completion"])
@at_every_token
async def test_every_choice_is_the_same_and_so_is_the_usage(
    path: str, body: dict[str, Any], after: int
) -> None:
    content, expected = await disturbed(path, body, after), await undisturbed(path, body)
    assert by_choice(content) == by_choice(expected)
    assert events(content)[-1]["usage"] == events(expected)[-1]["usage"]
    assert events(expected)[-1]["usage"]["completion_tokens"] == WORDS * sequences_of(body)


@at_every_token
async def test_a_stream_has_one_id_from_beginning_to_end(after: int) -> None:
    content = await disturbed(CHAT, chat(n=2, stream=True), after)
    assert len({event["id"] for event in events(content)}) == 1


@pytest.mark.parametrize(
    ("path", "body"), [(CHAT, chat(n=2)), (COMPLETIONS, completion(logprobs=1))]
)
@at_every_token
async def test_an_answer_that_is_sent_whole_is_the_same(
    path: str, body: dict[str, Any], after: int
) -> None:
    def parts(content: bytes) -> Any:
        answer = json.loads(content)
        return answer["choices"], answer["usage"]

    assert parts(await disturbed(path, body, after)) == parts(await undisturbed(path, body))
