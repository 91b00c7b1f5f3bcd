"""Two replicas that need a GPU each, and then none, on a local cluster; see `ask`.

Run as a program. It says how many GPU nodes there are whenever that has changed.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from deployments.reaper import Reaper
from serve_app.cluster_local import LocalCluster
from serve_app.environment import any_free_port
from tests.support.server import ROOT

GIVE_UP_S = 60


def ask() -> list[int]:
    """How many GPU nodes there were, one after the other, up to when the last one had left."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.hungry"],
        capture_output=True,
        text=True,
        check=False,
        timeout=3 * GIVE_UP_S,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    said = [line for line in done.stdout.splitlines() if line.startswith("GPU nodes: ")]
    return [int(line.rpartition(" ")[2]) for line in said]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="sluice-", ignore_cleanup_errors=True) as folder:
        cluster = LocalCluster(Path(folder), max_nodes=2, idle_timeout_s=2)
        reaper = Reaper()
        try:
            with cluster.started(head_cpus=1, node={"CPU": 1, "GPU": 1}):
                _eat()
        finally:
            reaper.sweep()


def _eat() -> None:
    import ray
    from ray import serve

    class Hungry:
        pass

    options = {"num_cpus": 0, "num_gpus": 1}
    hungry = serve.deployment(Hungry, num_replicas=2, ray_actor_options=options)
    serve.start(proxy_location="HeadOnly", http_options={"port": any_free_port()})
    try:
        serve.run(hungry.bind(), name="hungry")
        serve.delete("hungry")
        deadline = time.monotonic() + GIVE_UP_S
        while any(node["Alive"] and "GPU" in node["Resources"] for node in ray.nodes()):
            if time.monotonic() > deadline:
                sys.exit("idle nodes stay")
            time.sleep(0.2)
        time.sleep(1)  # for the cluster's own look
    finally:
        serve.shutdown()


if __name__ == "__main__":
    main()
