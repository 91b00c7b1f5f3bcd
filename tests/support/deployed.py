"""A Ray cluster of one node, and Sluice on it as `serve deploy` puts it there and changes it."""

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from serve_app import environment
from serve_app.environment import any_free_port
from tests.support.server import ROOT, Server, eventually
from tests.unit import access_fixtures

APPLICATION = "sluice"
_CPUS = 8
_BIN = Path(sys.executable).parent


class Deployed(Server):
    """The node, `ray start --head`; nothing is served before `deploy`."""

    def __init__(self, folder: Path) -> None:
        port, self._dashboard = any_free_port(), f"http://127.0.0.1:{any_free_port()}"
        self._folder, self._port = folder, port
        self._access = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        options = {
            "port": any_free_port(),
            "dashboard-port": self._dashboard.rpartition(":")[2],
            "node-ip-address": "127.0.0.1",
            "temp-dir": folder,  # else every `ray` on this machine would join this cluster
            "num-cpus": _CPUS,
            "object-store-memory": 200 << 20,
            "ray-client-server-port": any_free_port(),
            "min-worker-port": 0,  # none of those that routers are given
            "max-worker-port": 0,
        }
        command = [str(_BIN / "ray"), "start", "--head", "--block", "--disable-usage-stats"]
        command += [f"--{name}={value}" for name, value in options.items()]
        before = dict(os.environ)
        environment.prepare(haproxy=True, local=True)  # ports of its own, besides
        try:
            super().__init__(command, port, self._access)
        finally:
            os.environ.clear()
            os.environ.update(before)
        self.headers = access_fixtures.bearer("boss")

    def deploy(self, config: Mapping[str, Any]) -> None:
        """`serve deploy`: what is to be served from now on, as soon as it can be."""
        keys = {
            "pepper": access_fixtures.PEPPER,
            "keys": [access_fixtures.entry("boss")],
        }
        file = self._folder / "deploy.yaml"
        file.write_text(
            yaml.safe_dump(
                {
                    "proxy_location": "HeadOnly",
                    "http_options": {"host": "127.0.0.1", "port": self._port},
                    "applications": [
                        {
                            "name": APPLICATION,
                            "route_prefix": "/",
                            "import_path": "serve_app:build",
                            "args": {"auth": keys, **config},
                        }
                    ],
                }
            )
        )
        command = [str(_BIN / "serve"), "deploy", str(file), "--address", self._dashboard]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **self._access},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def status(self) -> dict[str, Any]:
        """The application's, as `serve status` has it."""
        headers = {"Authorization": f"Bearer {self._access['RAY_AUTH_TOKEN']}"}
        url = f"{self._dashboard}/api/serve/applications/"
        found: dict[str, Any] = httpx.get(url, headers=headers, timeout=30).json()["applications"]
        return dict(found.get(APPLICATION, {}))

    def _dashboard_answers(self) -> bool:
        try:
            self.status()
        except (httpx.TransportError, ValueError, KeyError):
            return False
        return True


@contextmanager
def deployed(config: Mapping[str, Any]) -> Iterator[Deployed]:
    """A cluster that serves `config`; behind it, it is gone."""
    with tempfile.TemporaryDirectory(prefix="sluice-", ignore_cleanup_errors=True) as folder:
        cluster = Deployed(Path(folder))
        try:
            eventually(cluster._dashboard_answers, 60, "Ray's dashboard answers")
            cluster.deploy(config)
            cluster.wait_until_ready()
            yield cluster
        finally:
            cluster.kill()
