"""Starting and stopping: what a user sees of it, and that nothing stays."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from tests.support import models
from tests.support.server import ROOT, Server, eventually, start

CONFIG: dict[str, Any] = {"models": [{**models.CONFIG["models"][0], "drain_timeout_s": 20}]}


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server of one model that a test may stop or kill."""
    running = start(CONFIG)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.kill()


def replicas(server: Server) -> int:
    """How many of them run."""
    return sum("ServeReplica" in " ".join(cmdline(pid)) for pid in server.processes())


def cmdline(pid: int) -> list[str]:
    """Of a process that may be gone."""
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []


def run_briefly(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """`python -m serve_app` with arguments that end it at once."""
    return subprocess.run(
        [sys.executable, "-m", "serve_app", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_and_all_its_processes_when_its_streams_have_ended(
    own_server: Server, number: signal.Signals
) -> None:
    assert own_server.processes()
    body = {"model": models.SMALL, "prompt": "Hi", "max_tokens": 400, "ignore_eos": True}
    url = own_server.url + "/v1/completions"
    with httpx.stream("POST", url, json={**body, "stream": True}, timeout=60) as response:
        lines = response.iter_lines()
        next(lines)
        own_server.process.send_signal(number)
        assert [line for line in lines if line][-1] == "data: [DONE]"
    own_server.process.wait(40)
    assert own_server.process.returncode == 0
    assert "SIGTERM" not in own_server.tail()  # nor the stack that Ray would print
    own_server.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_starts_ends_it_too(number: signal.Signals) -> None:
    starting = start(CONFIG)
    try:
        eventually(lambda: replicas(starting) > 0, 60, "the start is under way")
        starting.stop(number)
        assert starting.process.returncode == 0
    finally:
        starting.kill()


def test_a_killed_launcher_leaves_no_process_either(own_server: Server) -> None:
    own_server.stop(signal.SIGKILL)


def test_a_bad_configuration_stops_the_start_with_one_line() -> None:
    done = run_briefly("--http.prot", "9000")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "sluice: http.prot: there is no such key; remove it or correct its name"
    ]


def test_an_occupied_port_stops_the_start_with_one_line(server: Server) -> None:
    port = server.url.rpartition(":")[2]
    done = run_briefly("--http.port", port)
    assert done.returncode == 1
    assert done.stderr.startswith(f"sluice: http.port: cannot open 127.0.0.1:{port}")
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_model_directory_stops_the_start_with_one_line() -> None:
    done = run_briefly("--models", '[{"name": "a", "source": "/nowhere/model"}]')
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "sluice: models.0.source: there is no directory /nowhere/model"
    ]


def test_an_engine_that_cannot_start_is_reported_and_leaves_nothing() -> None:
    # vLLM knows the argument, so only the engine itself can find its value impossible.
    model = {**CONFIG["models"][0], "engine_args": {"max_model_len": 1_000_000}}
    failing = start({"models": [model]})
    try:
        failing.process.wait(180)
        assert failing.process.returncode == 1
        last = failing.tail(1)
        assert last.startswith("sluice: ")
        assert "max_model_len" in last
        failing.stop()
    finally:
        failing.kill()


@pytest.fixture(scope="module")
def served_by_serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`serve run serve_app:build`, behind Serve's own proxy, on the one port that it opens."""
    file = tmp_path_factory.mktemp("serve-run") / "config.yaml"
    file.write_text(yaml.safe_dump(CONFIG))
    program = str(Path(sys.executable).with_name("serve"))
    server = Server([program, "run", "serve_app:build", f"config={file}"], 8000, {})
    with server.serving() as running:
        yield running


def test_behind_serves_own_proxy_a_completion_works(served_by_serve: Server) -> None:
    body = {"model": models.SMALL, "prompt": "Hello", "max_tokens": 4, "temperature": 0}
    whole = served_by_serve.post("/v1/completions", body)
    assert whole.status_code == 200
    assert whole.json()["usage"]["completion_tokens"] == 4
    streamed = served_by_serve.post("/v1/completions", {**body, "stream": True})
    assert streamed.text.endswith("data: [DONE]\n\n")


def test_behind_serves_own_proxy_errors_look_the_same(served_by_serve: Server) -> None:
    unknown = served_by_serve.get("/v2/nothing")
    assert unknown.status_code == 404
    assert unknown.json()["error"]["code"] == "not_found"
    wrong = served_by_serve.post("/v1/completions", {"model": models.SMALL, "prompt": 1})
    assert wrong.status_code == 400
    assert wrong.json()["error"]["param"] == "prompt"


@pytest.mark.parametrize("front", ["server", "served_by_serve"])
def test_a_client_cannot_steer_serve_by_headers(front: str, request: pytest.FixtureRequest) -> None:
    running: Server = request.getfixturevalue(front)
    answer = running.post(
        "/v1/completions",
        {"model": models.SMALL, "prompt": "Hello", "max_tokens": 64, "ignore_eos": True},
        **{"x-request-timeout-seconds": "0.001", "x-request-id": "mine"},
    )
    assert answer.status_code == 200
    assert answer.headers["x-client-request-id"] == "mine"
    assert answer.headers["x-request-id"] != "mine"
