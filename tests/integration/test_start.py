"""What a start consists of."""

import psutil

from tests.support import models
from tests.support.server import Server


def test_a_replica_tells_how_long_each_stage_of_its_start_took(server: Server) -> None:
    for model in (models.SMALL, models.EMBEDDER):
        [engine] = server.engines(model)
        stages = ["process", "import", "engine", "weights", "warm-up", "adapters"]
        assert list(engine["start_s"]) == stages
        assert all(seconds >= 0 for seconds in engine["start_s"].values())


def test_an_engine_core_is_forked_from_a_process_that_has_imported_vllm_beside_the_replica(
    server: Server,
) -> None:
    [engine] = server.engines(models.SMALL)
    replica = psutil.Process(engine["pid"])
    [core] = [p for p in replica.children(recursive=True) if "VLLM::" in " ".join(p.cmdline())]
    fork_server = core.parent()
    assert fork_server is not None
    assert fork_server.parent() == replica
    assert "forkserver" in " ".join(fork_server.cmdline())
