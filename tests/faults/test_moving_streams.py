"""An engine replica is killed in mid-stream, and the client sees one stream, unchanged."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psutil
import pytest

from tests.support import models, server
from tests.support.server import Server, eventually

TOKENS = 400
SCHEMA = {
    "type": "object",
    "properties": {
        "colours": {
            "type": "array",
            "items": {"enum": ["red", "green", "blue"]},
            "minItems": 50,
            "maxItems": 50,
        },
        "sure": {"type": "boolean"},
    },
    "required": ["colours", "sure"],
    "additionalProperties": False,
}
COMPLETION = {
    "model": models.SMALL,
    "prompt": [100, 200, 300, 400],
    "max_tokens": TOKENS,
    "temperature": 0,
    "ignore_eos": True,
    "return_token_ids": True,
}
CHAT = {
    "model": models.SMALL,
    "messages": [{"role": "user", "content": "Which colours?"}],
    "max_tokens": 480,
    "temperature": 0,
    "return_token_ids": True,
}
AS_JSON = {
    "response_format": {"type": "json_schema", "json_schema": {"name": "c", "schema": SCHEMA}}
}
TOOLS = {"tools": [{"type": "function", "function": {"name": "choose", "parameters": SCHEMA}}]}
AS_A_CALL = {**TOOLS, "tool_choice": {"type": "function", "function": {"name": "choose"}}}
AS_ANY_CALL = {**TOOLS, "tool_choice": "required", "parallel_tool_calls": False}


@pytest.fixture(scope="module")
def pair() -> Iterator[Server]:
    """A server with two engines of one model, which calls tools in words of its own."""
    model = {**models.CONFIG["models"][0], "num_replicas": 2, "tool_parser": "hermes"}
    with server.start({"models": [model]}).serving() as running:
        wait_for_both(running)
        yield running


def wait_for_both(pair: Server) -> None:
    """Until two engines beat."""

    def both() -> bool:
        engines = pair.engines(models.SMALL)
        return len(engines) == 2 and all(engine["beats"] for engine in engines)

    eventually(both, 120, "two engines beat")


class Killer:
    """Kills the engine replica that works, at once: streams are short."""

    def __init__(self, pair: Server, *, ask_the_core: bool = False) -> None:
        """`ask_the_core`: SIGTERM to its engine core instead, as a host does that shuts down."""
        wait_for_both(pair)
        self._cores = cores(pair) if ask_the_core else {}
        self._client = httpx.Client(base_url=pair.url)
        self._client.get("/ready")  # connects

    def __call__(self) -> None:
        engines = self._client.get("/ready").json()["models"][models.SMALL]["engines"]
        self._client.close()
        pid = next(engine["pid"] for engine in engines if engine["in_flight"])
        if self._cores:
            os.kill(self._cores[pid], signal.SIGTERM)
        else:
            os.kill(pid, signal.SIGKILL)


def cores(pair: Server) -> dict[int, int]:
    """The pid of each replica's engine core, by that of the replica."""
    return {
        engine["pid"]: child.pid
        for engine in pair.engines(models.SMALL)
        for child in psutil.Process(engine["pid"]).children(recursive=True)
        if "EngineCore" in " ".join(child.cmdline())
    }


class Reading:
    """What a client sees of a stream."""

    def __init__(self) -> None:
        self.text: dict[int, str] = {}
        self.token_ids: dict[int, list[int]] = {}
        self.finish_reasons: dict[int, str] = {}
        self.usage: Any = None
        self.ended = False
        self.error: Any = None

    def take(self, line: str) -> None:
        """One line of the body."""
        if line == "data: [DONE]":
            self.ended = True
        elif line:
            chunk = json.loads(line.removeprefix("data: "))
            self.error = chunk.get("error", self.error)
            self.usage = chunk.get("usage") or self.usage
            for choice in chunk.get("choices", ()):
                self._take_choice(choice)

    def _take_choice(self, choice: dict[str, Any]) -> None:
        index = choice["index"]
        said = choice.get("text") or ""
        delta = choice.get("delta", {})
        said += delta.get("content") or ""
        for call in delta.get("tool_calls", ()):
            said += call["function"].get("arguments", "")
        self.text[index] = self.text.get(index, "") + said
        self.token_ids.setdefault(index, []).extend(choice.get("token_ids") or ())
        if choice["finish_reason"] is not None:
            self.finish_reasons[index] = choice["finish_reason"]

    @property
    def seen(self) -> tuple[Any, ...]:
        """All that must not depend on who generated it."""
        usage = {**self.usage, "prompt_tokens_details": None}
        return self.text, self.token_ids, self.finish_reasons, usage, self.ended, self.error


def read(
    pair: Server, path: str, body: dict[str, Any], at: int = -1, do: Callable[[], None] = print
) -> Reading:
    """Read a stream to its end; once `at` tokens have come, `do` something."""
    reading = Reading()
    body = {**body, "stream": True, "stream_options": {"include_usage": True}}
    with httpx.stream("POST", pair.url + path, json=body, timeout=60) as response:
        assert response.status_code == 200, response.read()
        for line in response.iter_lines():
            reading.take(line)
            if at >= 0 and sum(map(len, reading.token_ids.values())) >= at:
                at = -1
                do()
    return reading


@pytest.mark.parametrize("index", [1, 100])
def test_a_killed_engine_changes_nothing_in_a_greedy_stream(pair: Server, index: int) -> None:
    undisturbed = read(pair, "/v1/completions", COMPLETION)
    moved = read(pair, "/v1/completions", COMPLETION, index, Killer(pair))
    assert moved.seen == undisturbed.seen
    assert len(moved.token_ids[0]) == TOKENS


def test_an_engine_core_that_is_asked_to_stop_changes_nothing_either(pair: Server) -> None:
    undisturbed = read(pair, "/v1/completions", COMPLETION)
    moved = read(pair, "/v1/completions", COMPLETION, 50, Killer(pair, ask_the_core=True))
    assert moved.seen == undisturbed.seen


@pytest.mark.parametrize(
    "form", [AS_JSON, AS_A_CALL, AS_ANY_CALL], ids=["json_schema", "tool_call", "any_call"]
)
def test_a_killed_engine_changes_nothing_in_a_stream_of_a_given_form(
    pair: Server, form: dict[str, Any]
) -> None:
    body = {**CHAT, **form}
    undisturbed = read(pair, "/v1/chat/completions", body)
    moved = read(pair, "/v1/chat/completions", body, 12, Killer(pair))
    assert moved.seen == undisturbed.seen
    assert len(json.loads(moved.text[0])["colours"]) == 50
    wait_for_both(pair)


def test_several_seeded_choices_with_log_probabilities_go_on_as_well(pair: Server) -> None:
    body = {
        **COMPLETION,
        "n": 3,
        "temperature": 1.0,
        "seed": 7,
        "logprobs": 2,
        "stop": ["zzzz"],
    }
    undisturbed = read(pair, "/v1/completions", body)
    moved = read(pair, "/v1/completions", body, 40, Killer(pair))
    assert moved.seen == undisturbed.seen
