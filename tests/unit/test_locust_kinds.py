import argparse
import json
import random
from dataclasses import replace
from typing import Any

import pytest

from bench.locust import options
from bench.locust.kinds import SPEAKERS, Speaker
from bench.locust.messages import Answer
from bench.locust.mixes import KINDS
from bench.locust.options import Settings
from bench.locust.stream import Stream

OWN = {"host": "http://h", "num_users": 4, "run_time": 60, "user_classes": []}


def given(*words: str, **own: Any) -> argparse.Namespace:
    """What Locust's parser makes of a command line."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    options.add(parser)
    parsed = parser.parse_args(words)
    vars(parsed).update(OWN | own)
    return parsed


def settings(*words: str, **changes: Any) -> Settings:
    parsed = given("--model", "m", "--seed", "1", *words)
    options.settle(parsed, {})
    return replace(Settings.of(parsed), **changes)


def speaker(kind: str, *words: str, **changes: Any) -> Speaker:
    return SPEAKERS[kind](settings(*words, **changes), random.Random(1))


def answer(**fields: Any) -> Answer:
    return Answer(**{"sent_at": 0.0, "done_at": 0.5, "status": 200, **fields})


def body(one: Speaker) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(one.request.body)
    return content


def test_every_kind_of_a_mix_has_somebody_to_speak() -> None:
    assert set(SPEAKERS) == set(KINDS)


def test_a_session_grows_until_its_turns_are_over() -> None:
    chat = speaker("chat", "--turns", "2")
    assert [m["role"] for m in body(chat)["messages"]] == ["user"]
    chat.end(answer(text="yes"))
    said = body(chat)["messages"]
    assert [m["role"] for m in said] == ["user", "assistant", "user"]
    assert said[1]["content"] == "yes"
    chat.end(answer())
    assert len(body(chat)["messages"]) == 1


def test_a_session_ends_before_its_context_does() -> None:
    chat = speaker("chat", "--lengths", "10x10", context=100)
    body(chat)
    chat.end(answer(prompt_tokens=60, tokens=11))
    assert len(body(chat)["messages"]) == 1


def test_a_refused_request_is_sent_again_and_another_one_is_not() -> None:
    one = speaker("completion")
    first = one.request
    one.end(answer(status=503, error="503 overloaded", retry_after_s=1.0))
    assert one.request is first
    one.end(answer(status=500, error="500"))
    assert one.request is not first


def test_prompts_have_the_tokens_that_were_asked_for() -> None:
    assert len(body(speaker("completion", "--lengths", "7x3"))["prompt"]) == 7
    assert len(body(speaker("longcontext", "--long", "900"))["prompt"]) == 900
    assert len(body(speaker("longcontext", "--lengths", "7x3", context=100))["prompt"]) == 97
    batch = speaker("batch", "--batch", "3")
    assert len(body(batch)["prompt"]) == 3
    assert batch.request.headers == {"x-sluice-class": "batch"}


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"status": 400}, None),
        ({"status": 200}, "200 instead of a 4xx"),
        ({"status": 429}, "429 instead of a 4xx"),
        ({"status": 503, "retry_after_s": 1.0}, "503 instead of a 4xx"),
        ({"status": 400, "done_at": 3.0}, "400 not at once"),
        ({"status": 0, "error": "ConnectionResetError"}, "ConnectionResetError"),
    ],
)
def test_who_abuses_wants_a_4xx_at_once(fields: dict[str, Any], fault: str | None) -> None:
    one, got = speaker("abusive"), answer(**fields)
    assert one.fault(got) == fault
    assert not one.refused(got)


@pytest.mark.parametrize(
    ("words", "own", "named"),
    [
        ([], {"host": None}, "--host"),
        ([], {"host": "h:8000"}, "--host"),
        ([], {"host": "http://me:pass@h"}, "--host"),
        (["--rate", "1"], {}, "--users"),
        (["--rate", "1"], {"num_users": None, "run_time": None}, "--run-time"),
        (["--shape", "step"], {"num_users": None}, "--users"),
        (["--shape", "step"], {"run_time": None}, "--run-time"),
        (["--mix", "chat=1"], {"user_classes": ["Chat"]}, "--mix"),
        ([], {"user_classes": ["Arrivals"]}, "arrivals"),
    ],
)
def test_options_that_do_not_go_together_are_named(
    words: list[str], own: dict[str, Any], named: str
) -> None:
    with pytest.raises(options.WrongOption, match=f"^{named}: "):
        options.settle(given(*words, **own), {})


@pytest.mark.parametrize(
    "words",
    ["--mix chat", "--mix chat=0", "--mix cat=1", "--rate 0", "--low 2", "--lengths 5", "--slo x"],
)
def test_a_wrong_value_is_refused_by_its_option(words: str) -> None:
    with pytest.raises(argparse.ArgumentError) as refused:
        given(*words.split())
    assert refused.value.argument_name == words.split()[0]


def test_the_address_is_taken_as_openai_has_it() -> None:
    parsed = given(host=None)
    options.settle(parsed, {"OPENAI_BASE_URL": "https://h/api/v1/"})
    assert parsed.host == "https://h/api"


def test_a_key_that_no_header_takes_is_not_shown() -> None:
    with pytest.raises(options.WrongOption) as refused:
        options.settle(given(), {"OPENAI_API_KEY": "sk-secret\n"})
    assert "secret" not in str(refused.value)


def test_only_what_has_text_bears_tokens() -> None:
    stream = Stream()
    lines = [
        b": waiting\n",
        b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n',
        b'data: {"choices":[{"delta":{"reasoning_content":"a"}}]}\n',
        b'data: {"choices":[{"delta":{"content":"b"}}]}\n',
        b'data: {"choices":[{"text":"c"}]}\n',
        b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":3}}\n',
    ]
    assert [stream.take(line) for line in lines] == [False, False, True, True, True, False]
    errors = [stream.error]
    stream.take(b"data: [DONE]\n")
    assert [*errors, stream.error] == ["stream without [DONE]", None]
    assert ("".join(stream.pieces), stream.tokens) == ("abc", 3)
