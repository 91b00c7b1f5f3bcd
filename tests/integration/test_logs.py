"""What a real server logs: a line for each request, and nothing that is no JSON."""

import json
from typing import Any

import httpx

from tests.support import models
from tests.support.server import Server, eventually

COMPLETIONS = "/v1/completions"
BODY: dict[str, Any] = {"model": models.SMALL, "prompt": "Hello there", "max_tokens": 4}


def lines_of(server: Server) -> list[dict[str, Any]]:
    """What the server has logged."""
    lines = server.log.read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def line_of(server: Server, request_id: str) -> dict[str, Any]:
    """The only line of a request."""

    def found() -> list[dict[str, Any]]:
        return [line for line in lines_of(server) if line.get("request_id") == request_id]

    eventually(lambda: bool(found()), 10, "the request's line has come")
    [line] = found()
    return line


def test_each_request_has_one_line_with_the_id_that_its_answer_has(server: Server) -> None:
    answers = [
        server.post(COMPLETIONS, BODY),
        server.post(COMPLETIONS, {**BODY, "stream": True}),
        server.post(COMPLETIONS, {**BODY, "n": "x"}),
        server.get("/v1/nothing?secret=1"),
    ]
    lines = [line_of(server, answer.headers["x-request-id"]) for answer in answers]
    assert [line["status"] for line in lines] == [200, 200, 400, 404]
    assert [line["endpoint"] for line in lines] == [COMPLETIONS] * 3 + ["other"]
    assert [line["event"] for line in lines] == ["request"] * 4
    assert {line["deployment"] for line in lines} == {"router"}


def test_a_line_has_the_tokens_and_times_of_its_answer(server: Server) -> None:
    answer = server.post(COMPLETIONS, {**BODY, "n": 2})
    line = line_of(server, answer.headers["x-request-id"])
    usage = answer.json()["usage"]
    assert line["prompt_tokens"] == usage["prompt_tokens"]
    assert line["completion_tokens"] == usage["completion_tokens"]
    assert line["finish_reasons"] == [each["finish_reason"] for each in answer.json()["choices"]]
    assert line["engines"] == [engine["replica"] for engine in server.engines(models.SMALL)]
    parts = line["framework_ms"] + line["queue_ms"]
    assert 0 < parts < line["ttft_ms"] <= line["duration_ms"]


def test_a_client_that_leaves_has_a_line_too(server: Server) -> None:
    body = {**BODY, "max_tokens": 400, "ignore_eos": True, "stream": True}
    with httpx.stream("POST", server.url + COMPLETIONS, json=body, timeout=30) as response:
        next(response.iter_lines())
    line = line_of(server, response.headers["x-request-id"])
    assert (line["status"], line["level"]) == (499, "info")
    assert 0 < line["completion_tokens"] < 400


def test_nothing_else_is_in_the_log_but_json(server: Server) -> None:
    server.post(COMPLETIONS, BODY)
    lines = lines_of(server)
    others = [line for line in server.log.read_text().splitlines() if not line.startswith("{")]
    # What the launcher tells people, and Ray when a test kills an engine: on standard output.
    assert all(line.startswith("Sluice ") or "(raylet)" in line for line in others if line)
    assert all({"timestamp", "level", "event", "logger"} <= line.keys() for line in lines)
    assert any(line["event"].startswith("Started within") for line in lines)
    raw = [line for line in lines if line["logger"] == "stderr"]
    assert not raw
