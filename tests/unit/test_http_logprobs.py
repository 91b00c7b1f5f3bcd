from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from deployments.messages import Delta, Logprob
from serve_app.http import logprobs
from tests.unit.http_fixtures import (
    BOS,
    CHAT,
    COMPLETIONS,
    chat,
    completion,
    events,
    row,
    say,
    site,
)

A, B, E = ("a", -0.1), ("b", -2.0), ("é", -3.0)


def entry(token: str, value: float) -> dict[str, Any]:
    return {"token": token, "logprob": value, "bytes": list(token.encode())}


def test_the_best_are_the_likeliest_when_the_chosen_is_none_of_them() -> None:
    assert logprobs.top(row(E, A, B), 2) == row(A, B)


def test_the_best_are_the_likeliest_when_the_chosen_is_one_of_them() -> None:
    assert logprobs.top(row(B, A), 2) == row(A, B)


def test_none_is_best_of_none() -> None:
    assert logprobs.top(row(A), 0) == []


def test_what_cannot_be_is_written_as_openai_writes_it() -> None:
    impossible = row(("a", float("-inf")))
    [token] = logprobs.for_chat([impossible], 1)["content"]
    assert token["logprob"] == token["top_logprobs"][0]["logprob"] == -9999.0
    assert logprobs.for_completion([impossible], 1)["token_logprobs"] == [-9999.0]
    assert logprobs.for_completion([impossible], 1)["top_logprobs"] == [{"a": -9999.0}]


def test_of_two_tokens_with_one_text_the_chosen_and_then_the_likelier_is_told() -> None:
    chosen, better, worse = Logprob(1, -5.0, ""), Logprob(2, -1.0, ""), Logprob(3, -2.0, "")
    assert logprobs.for_completion([[chosen, better, worse]], 2)["top_logprobs"] == [{"": -5.0}]


def test_a_completion_that_wants_no_alternatives_has_the_chosen_alone() -> None:
    assert logprobs.for_completion([row(A)], 0) == {
        "tokens": ["a"],
        "token_logprobs": [-0.1],
        "top_logprobs": [{"a": -0.1}],
        "text_offset": [0],
    }


CHAT_SCRIPT = [
    say("a", logprobs=[row(A)]),
    say("", 7, logprobs=[row(E, A)]),
    say("éb", 8, logprobs=[row(B, A)], finish_reason="stop"),
]
CHAT_TOKENS = [
    {**entry(*A), "top_logprobs": [entry(*A)]},
    {**entry(*E), "top_logprobs": [entry(*A)]},
    {**entry(*B), "top_logprobs": [entry(*A)]},
]


async def test_a_chat_has_an_entry_for_each_token() -> None:
    async with site() as s:
        response = await s.answer(CHAT, chat(logprobs=True, top_logprobs=1), CHAT_SCRIPT)
    assert response.json()["choices"][0]["logprobs"] == {"content": CHAT_TOKENS, "refusal": None}
    ChatCompletion.model_validate(response.json())


async def test_a_streamed_chat_has_each_chunks_entries_with_it() -> None:
    async with site() as s:
        body = chat(logprobs=True, top_logprobs=1, stream=True)
        response = await s.answer(CHAT, body, CHAT_SCRIPT)
    chunks = events(response.content)
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    told = [c["choices"][0]["logprobs"] for c in chunks if c["choices"][0]["logprobs"]]
    assert [one["content"] for one in told] == [[token] for token in CHAT_TOKENS]


async def test_a_chat_without_alternatives_has_empty_ones() -> None:
    async with site() as s:
        script = [say("a", logprobs=[row(A)], finish_reason="stop")]
        response = await s.answer(CHAT, chat(logprobs=True), script)
    [token] = response.json()["choices"][0]["logprobs"]["content"]
    assert token == {**entry(*A), "top_logprobs": []}


COMPLETION_SCRIPT = [
    say("", logprobs=[row(A)]),  # held back: it may become a stop string
    say("aé", 8, 9, logprobs=[row(E, A), row(B, A)]),
    say("b", 10, logprobs=[row(A)], finish_reason="stop"),
]
COMPLETION_LOGPROBS = {
    "tokens": ["a", "é", "b", "a"],
    "token_logprobs": [-0.1, -3.0, -2.0, -0.1],
    "top_logprobs": [
        {"a": -0.1},
        {"é": -3.0, "a": -0.1},
        {"b": -2.0, "a": -0.1},
        {"a": -0.1},
    ],
    "text_offset": [0, 1, 2, 3],
}
ECHO_SCRIPT = [
    say("a", logprobs=[row(A)], prompt_logprobs=[None, row(("H", -1.0)), row(("i", -2.0), B)]),
    say("b", logprobs=[row(B)], finish_reason="stop"),
]
ECHO_LOGPROBS = {
    "tokens": ["<bos>", "H", "i", "a", "b"],
    "token_logprobs": [None, -1.0, -2.0, -0.1, -2.0],
    "top_logprobs": [None, {"H": -1.0}, {"i": -2.0, "b": -2.0}, {"a": -0.1}, {"b": -2.0}],
    "text_offset": [0, 5, 6, 7, 8],
}
BOTH = [
    ({"logprobs": 1}, COMPLETION_SCRIPT, COMPLETION_LOGPROBS),
    ({"logprobs": 1, "echo": True}, ECHO_SCRIPT, ECHO_LOGPROBS),
]


@pytest.mark.parametrize(("fields", "script", "expected"), BOTH, ids=["plain", "echo"])
async def test_a_completion_has_a_column_for_each_token(
    fields: dict[str, Any], script: list[Delta], expected: dict[str, Any]
) -> None:
    async with site() as s:
        response = await s.answer(COMPLETIONS, completion("Hi", **fields), script)
    assert response.json()["choices"][0]["logprobs"] == expected


@pytest.mark.parametrize(("fields", "script", "expected"), BOTH, ids=["plain", "echo"])
async def test_a_streamed_completions_columns_add_up_to_the_same(
    fields: dict[str, Any], script: list[Delta], expected: dict[str, Any]
) -> None:
    async with site() as s:
        response = await s.answer(COMPLETIONS, completion("Hi", stream=True, **fields), script)
    parts = [event["choices"][0]["logprobs"] for event in events(response.content)]
    assert {key: [x for part in parts for x in part[key]] for key in expected} == expected


async def test_an_echo_alone_scores_the_prompt_and_nothing_else() -> None:
    prompt_logprobs = [None, row(("i", -2.0))]
    script = [say("z", logprobs=[row(A)], prompt_logprobs=prompt_logprobs, finish_reason="length")]
    body = completion([72, 105], logprobs=1, echo=True, max_tokens=0)
    async with site() as s:
        whole = await s.answer(COMPLETIONS, body, script)
    async with site() as s:
        streamed = await s.answer(COMPLETIONS, {**body, "stream": True}, script)
    expected = {
        "tokens": ["H", "i"],
        "token_logprobs": [None, -2.0],
        "top_logprobs": [None, {"i": -2.0}],
        "text_offset": [0, 1],
    }
    assert whole.json()["choices"][0]["logprobs"] == expected
    [chunk] = events(streamed.content)
    assert chunk["choices"][0]["logprobs"] == expected


async def test_each_prompt_is_echoed_with_its_own_first_token() -> None:
    scripts = [
        [say("a", logprobs=[row(A)], prompt_logprobs=[None], finish_reason="stop")] for _ in "xy"
    ]
    async with site() as s:
        body = completion([[BOS], [72]], logprobs=1, echo=True)
        response = await s.answer(COMPLETIONS, body, *scripts)
    told = [choice["logprobs"]["tokens"] for choice in response.json()["choices"]]
    assert told == [["<bos>", "a"], ["H", "a"]]
