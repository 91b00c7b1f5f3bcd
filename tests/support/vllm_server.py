"""vLLM's own HTTP server, on the model and the engine arguments of the shared server."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from bench.launching import flags
from deployments import default_model
from serve_app.environment import any_free_port
from tests.support import models
from tests.support.server import Server


class VllmServer(Server):
    """`vllm serve`; the CPU build has no such command line, but the module behind it."""

    def is_ready(self) -> bool:
        """Whether its engine is up."""
        try:
            return self.get("/health").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def vllm_server(model: str) -> Iterator[VllmServer]:
    """Serves the embedded `model` until the context ends."""
    port = any_free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(default_model.ensure(model)), "--served-model-name", model]
    command += ["--host", "127.0.0.1", "--port", str(port), "--disable-uvicorn-access-log"]
    command += ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    command += flags(models.ENGINE_ARGS)
    # Else its processes would hide the mark by which they are found; see deployments.reaper.
    environment = {"SPT_NOENV": "1", "OMP_NUM_THREADS": "1", "VLLM_NO_USAGE_STATS": "1"}
    running = VllmServer(command, port, environment)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.kill()  # it has nothing to finish, and takes seconds to end by itself
        running.process.wait(10)
