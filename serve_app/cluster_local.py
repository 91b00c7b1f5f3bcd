"""Sluice on nodes that come and go, all on this machine: `make cluster-local`.

    python -m serve_app.cluster_local [--max-nodes N] [--idle-timeout S] [what serve_app takes]

Ray's own autoscaler decides, with the provider of Ray's own tests: where a cloud's would rent a
machine, it starts another raylet here. Each such node says that it has GPUs. Engines of vLLM's CPU
build ask for them and do not use them, so that an engine without a node brings one, and a node
without an engine leaves.
"""

import argparse
import json
import math
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serve_app import launch
from serve_app.config import Settings
from serve_app.environment import any_free_port
from serve_app.model_config import ModelConfig
from serve_app.scaling_config import ScalingConfig

HEAD_NODE_ID = "f" * 51 + "00000"
"""By this id the provider knows its head node; the others count up from it."""
HEAD_TYPE, GPU_TYPE = "ray.head.default", "gpu"
_HEAD_ONLY = {"node:__internal_head__": 0.001}
"""Ray's name for what only the head node has. Serve gives out the ports of routers node by node, so
on one machine two routers of two nodes would share a port."""
_HAPROXY_FILES = {
    "CONFIG_FILE_LOC": "haproxy.cfg",
    "SOCKET_PATH": "admin.sock",
    "METRICS_SOCKET_PATH": "metrics.sock",
    "SERVER_STATE_BASE": "",
    "SERVER_STATE_FILE": "server-state",
}
"""Serve keeps them apart by node ids, which are the same in every cluster of this kind."""
_NO_COMMANDS = ("setup_commands", "head_setup_commands", "worker_setup_commands")
_OBJECT_STORE_BYTES = 100 << 20
_LOOK_S = 0.5


class LocalCluster:
    """A head node here, and up to `max_nodes` GPU nodes as they are needed."""

    def __init__(self, folder: Path, *, max_nodes: int, idle_timeout_s: float) -> None:
        """Ray's files and its token go into `folder`. Call before Ray is imported."""
        self.address = f"127.0.0.1:{any_free_port()}"
        self._folder = folder
        self._max_nodes = max_nodes
        self._idle_timeout_s = idle_timeout_s
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        self.access = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            # Keeps all nodes at 127.0.0.1, as on a Mac.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        }
        os.environ |= self.access
        for name, file in _HAPROXY_FILES.items():
            os.environ[f"RAY_SERVE_HAPROXY_{name}"] = str(folder / file)

    def fitted(self, settings: Settings) -> Settings:
        """Where it does not say: engines follow their load, and each needs a GPU, and so a node."""
        models = [self._fitted(model) for model in settings.models]
        resources = {**_HEAD_ONLY, **settings.router.resources}
        router = settings.router.model_copy(update={"resources": resources})
        return settings.model_copy(update={"models": models, "router": router})

    def _fitted(self, model: ModelConfig) -> ModelConfig:
        chosen: dict[str, Any] = {}
        if model.num_gpus is None:
            chosen["num_gpus"] = 1
        if model.autoscaling is None and "num_replicas" not in model.model_fields_set:
            chosen["autoscaling"] = ScalingConfig(max_replicas=self._max_nodes)
        return model.model_copy(update=chosen)

    @contextmanager
    def running(self, settings: Settings) -> Iterator[None]:
        """The head node; its processes, and all nodes', end with the launcher's reaper."""
        with self.started(launch.logical_cpus(settings), node_of(settings)):
            yield

    @contextmanager
    def started(self, head_cpus: int, node: Mapping[str, int]) -> Iterator[None]:
        """The head node, with `node` as what each of the others will have."""
        file = self._folder / "autoscaling.json"
        file.write_text(json.dumps(self.autoscaling_config(head_cpus, node)))
        self._start_head(head_cpus, file)
        import ray

        # Every node's log monitor would send the logs of all of them here: they share a folder.
        ray.init(address=self.address, _node_ip_address="127.0.0.1", log_to_driver=False)
        watch = _Watch()
        watch.start()
        try:
            yield
        finally:
            watch.stop()
            ray.shutdown()

    def autoscaling_config(self, head_cpus: int, node: Mapping[str, int]) -> dict[str, Any]:
        """What Ray's autoscaler is told, as cluster.yaml tells it of a cloud."""
        return {
            "cluster_name": "sluice-local",
            "max_workers": self._max_nodes,
            "idle_timeout_minutes": self._idle_timeout_s / 60,
            "provider": {
                # Ray's short name for this provider wants a file that its wheel does not have.
                "type": "external",
                "module": (
                    "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
                ),
                "gcs_address": self.address,
                "head_node_id": HEAD_NODE_ID,
                "launch_multiple": True,
                "disable_node_updaters": True,
                "disable_launch_config_check": True,
            },
            "head_node_type": HEAD_TYPE,
            "available_node_types": {
                HEAD_TYPE: {"resources": {"CPU": head_cpus}, "node_config": {}, "max_workers": 0},
                GPU_TYPE: {
                    "resources": {**node, "object_store_memory": _OBJECT_STORE_BYTES},
                    "node_config": {},
                    "max_workers": self._max_nodes,
                },
            },
            "cluster_synced_files": [],
            **{commands: [] for commands in _NO_COMMANDS},
        }

    def _start_head(self, cpus: int, autoscaling: Path) -> None:
        port = self.address.rpartition(":")[2]
        options = {
            "port": port,
            "node-ip-address": "127.0.0.1",
            "temp-dir": self._folder,  # else every `ray` on this machine would join this cluster
            "autoscaling-config": autoscaling,
            "num-cpus": cpus,
            "num-gpus": 0,
            "object-store-memory": 2 * _OBJECT_STORE_BYTES,
            "include-dashboard": "false",
            "ray-client-server-port": any_free_port(),
            "min-worker-port": 0,  # none of those that routers are given
            "max-worker-port": 0,
        }
        done = subprocess.run(  # noqa: S603  our own interpreter's program
            [
                Path(sys.executable).with_name("ray"),
                *("start", "--head", "--disable-usage-stats"),
                *(f"--{name}={value}" for name, value in options.items()),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,  # a terminal's Ctrl-C is the launcher's
            env={**os.environ, **_FOR_THE_HEAD},
        )
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
            sys.exit(f"sluice: Ray did not start: {reason[0]}")


_FOR_THE_HEAD = {
    "RAY_FAKE_CLUSTER": "1",
    "RAY_enable_autoscaler_v2": "1",
    "RAY_CLOUD_INSTANCE_ID": HEAD_NODE_ID,
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_NODE_ID,
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
}


class _Watch(threading.Thread):
    """Says whenever the number of GPU nodes has changed."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._stopped = threading.Event()

    def run(self) -> None:
        import ray

        last = 0
        while not self._stopped.wait(_LOOK_S):
            now = sum(node["Alive"] and "GPU" in node["Resources"] for node in ray.nodes())
            if now != last:
                launch.say(f"GPU nodes: {last} -> {now}")
                last = now

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def node_of(settings: Settings) -> dict[str, int]:
    """The resources of a node that holds one engine of any model."""
    return {
        "CPU": max(1, *(math.ceil(launch.engine_cpus(model)) for model in settings.models)),
        "GPU": max(1, *(math.ceil(model.gpus) for model in settings.models)),
    }


def main(argv: Sequence[str]) -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(
        prog="python -m serve_app.cluster_local",
        description="Serve models on nodes that Ray's autoscaler starts and stops on this machine.",
        epilog="All that python -m serve_app takes can be given too: --config my.yaml",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--max-nodes", type=int, default=3, metavar="N", help="how many GPU nodes at most"
    )
    parser.add_argument(
        "--idle-timeout", type=float, default=30, metavar="S", help="after which idle nodes leave"
    )
    options, rest = parser.parse_known_args(argv)
    # Outlives Ray's processes, which launch.main's reaper ends.
    with tempfile.TemporaryDirectory(prefix="sluice-", ignore_cleanup_errors=True) as folder:
        cluster = LocalCluster(
            Path(folder), max_nodes=options.max_nodes, idle_timeout_s=options.idle_timeout
        )
        launch.say(f"Ray's logs are in {folder}/session_latest/logs. To ask it how it is:")
        access = {**cluster.access, "RAY_ADDRESS": cluster.address}
        launch.say(" ".join(f"{name}={value}" for name, value in access.items()) + " ray status")
        launch.main(rest, cluster)


if __name__ == "__main__":
    main(sys.argv[1:])
