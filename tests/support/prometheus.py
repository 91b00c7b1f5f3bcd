"""A real Prometheus: the machine's own, or else Debian's package unpacked into build/."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from serve_app.environment import any_free_port
from tests.support.server import ROOT, eventually

BUILD = ROOT / "build" / "prometheus"
_PACKAGE = "prometheus"
_FETCH_S = 300


def program(name: str = "prometheus") -> str:
    """Where it is, or `promtool`, which comes with it."""
    return shutil.which(name) or str(_unpacked() / "usr" / "bin" / name)


def complaints(page: str) -> list[str]:
    """What promtool finds wrong with what a server answers to a scrape."""
    done = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=page,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode in (0, 3), done.stderr  # 3: it is not as they would have it
    return (done.stdout + done.stderr).splitlines()


class Prometheus:
    """One that runs."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self._url}/-/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What it knows now: each result has `metric`, the labels, and `value`, time and number."""
        answer = httpx.get(f"{self._url}/api/v1/query", params={"query": expression}, timeout=10)
        results: list[dict[str, Any]] = answer.raise_for_status().json()["data"]["result"]
        return results

    def value(self, expression: str) -> float:
        """The number that an expression gives; 0 where nothing is known."""
        results = self.query(expression)
        assert len(results) <= 1, results
        return float(results[0]["value"][1]) if results else 0.0

    def names(self) -> set[str]:
        """Of all series that it has."""
        answer = httpx.get(f"{self._url}/api/v1/label/__name__/values", timeout=10)
        return set(answer.raise_for_status().json()["data"])


@contextmanager
def scraping(jobs: Sequence[dict[str, Any]], every: str = "1s") -> Iterator[Prometheus]:
    """A Prometheus with these jobs (`scrape_configs`), and nothing left of it behind."""
    port = any_free_port()
    with tempfile.TemporaryDirectory(prefix="sluice-prometheus-") as folder:
        config = Path(folder) / "prometheus.yml"
        config.write_text(
            yaml.safe_dump({"global": {"scrape_interval": every}, "scrape_configs": list(jobs)})
        )
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    program(),
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder}/data",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            running = Prometheus(port)
            eventually(running.is_ready, 30, "Prometheus is ready")
            yield running
        finally:
            process.kill()
            process.wait(10)


def _unpacked() -> Path:
    if not (BUILD / "usr" / "bin").is_dir():
        BUILD.mkdir(parents=True, exist_ok=True)
        if not _apt("download", _PACKAGE):
            _apt("update")  # a fresh machine knows of no package
            assert _apt("download", _PACKAGE), f"there is no package {_PACKAGE}"
        [file] = BUILD.glob(f"{_PACKAGE}_*.deb")
        subprocess.run(["dpkg-deb", "-x", str(file), str(BUILD)], check=True, timeout=_FETCH_S)
    return BUILD


def _apt(*words: str) -> bool:
    done = subprocess.run(
        ["apt-get", "-q", *words],
        cwd=BUILD,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=_FETCH_S,
    )
    return done.returncode == 0
