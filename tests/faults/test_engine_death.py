"""Engines that die or stop: nothing is left of them, /ready tells the truth, others take over."""

import os
import signal

import httpx
import psutil
import pytest

from tests.support import models
from tests.support.server import Server, eventually


def replica_process(server: Server, model: str) -> psutil.Process:
    """The process of the model's engine replica."""
    number = [entry["name"] for entry in models.CONFIG["models"]].index(model)
    name = f"engine-{number}-{model}"
    found = [p for p in map(psutil.Process, server.processes()) if name in _title(p)]
    assert len(found) == 1, found
    return found[0]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def engine_processes(replica: psutil.Process) -> list[psutil.Process]:
    """The engine core and workers of a replica."""
    return [p for p in replica.children(recursive=True) if "VLLM::" in _title(p)]


def is_gone(process: psutil.Process) -> bool:
    """Whether a process has ended; a zombie that its foster parent leaves lying has."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def ready_models(server: Server) -> dict[str, bool]:
    """What /ready says of each model, and that its status agrees."""
    response = server.get("/ready")
    ready = {name: state["ready"] for name, state in response.json()["models"].items()}
    assert (response.status_code == 200) == all(ready.values())
    return ready


def answers(server: Server, model: str) -> bool:
    """Whether a short completion works."""
    body = {"model": model, "prompt": "Hello", "max_tokens": 2}
    return server.post("/v1/completions", body).status_code == 200


def test_a_killed_replica_leaves_no_engine_and_is_replaced(server: Server) -> None:
    replica = replica_process(server, models.SMALL)
    engine = engine_processes(replica)
    assert engine
    with httpx.stream(
        "POST",
        f"{server.url}/v1/completions",
        json={
            "model": models.SMALL,
            "prompt": "Hello",
            "max_tokens": 500,
            "ignore_eos": True,
            "stream": True,
        },
        timeout=30,
    ) as response:
        lines = response.iter_lines()
        next(lines)
        replica.kill()
        rest = [line for line in lines if line]
    assert '"code":"engine_failed"' in rest[-1]
    assert "data: [DONE]" not in rest
    eventually(lambda: all(is_gone(p) for p in engine), 10, "the engine core is gone")
    eventually(lambda: not ready_models(server)[models.SMALL], 5, "/ready says so")
    assert ready_models(server)[models.LARGE]
    refused = server.post("/v1/completions", {"model": models.SMALL, "prompt": "x"})
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert answers(server, models.LARGE)
    eventually(server.is_ready, 120, "Serve has replaced the replica")
    assert answers(server, models.SMALL)


def test_a_dead_engine_core_takes_its_replica_along(server: Server) -> None:
    replica = replica_process(server, models.SMALL)
    (core,) = [p for p in engine_processes(replica) if "EngineCore" in _title(p)]
    core.kill()
    eventually(lambda: is_gone(replica), 10, "the replica has ended")
    eventually(lambda: not ready_models(server)[models.SMALL], 10, "/ready says so")
    eventually(server.is_ready, 120, "Serve has replaced the replica")
    assert answers(server, models.SMALL)


def test_a_stopped_engine_core_is_unready_within_15_seconds_and_replaced(server: Server) -> None:
    replica = replica_process(server, models.SMALL)
    (core,) = [p for p in engine_processes(replica) if "EngineCore" in _title(p)]
    os.kill(core.pid, signal.SIGSTOP)
    took = eventually(lambda: not ready_models(server)[models.SMALL], 15, "/ready says so")
    assert took <= 15
    eventually(server.is_ready, 150, "Serve has replaced the replica")
    assert is_gone(core)
    assert answers(server, models.SMALL)


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_waits_on_a_dying_engine_gets_an_error_and_no_hang(
    server: Server, stream: bool
) -> None:
    replica = replica_process(server, models.SMALL)
    body = {"model": models.SMALL, "prompt": "x", "max_tokens": 500, "stream": stream}
    os.kill(replica.pid, signal.SIGSTOP)  # it takes the request and never answers
    try:
        response = server.post("/v1/completions", body)
    finally:
        replica.kill()
    assert response.status_code == 503
    assert response.json()["error"]["code"] in {"engine_failed", "engine_unavailable"}
    eventually(server.is_ready, 120, "Serve has replaced the replica")
