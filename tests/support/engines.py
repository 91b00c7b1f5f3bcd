"""The processes behind a server's engines."""

import psutil

from tests.support.server import Server


def engine_pids(server: Server, *names: str) -> set[int]:
    """Of the models' engine replicas and of all that these have started: engine cores."""
    replicas = {engine["pid"] for name in names for engine in server.engines(name)}
    started = [child for pid in replicas for child in psutil.Process(pid).children(recursive=True)]
    assert any("VLLM::EngineCore" in " ".join(child.cmdline()) for child in started)
    return replicas | {child.pid for child in started}
