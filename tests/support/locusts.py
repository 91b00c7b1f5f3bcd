"""Locust, in a process of its own: it patches whatever imports it."""

import csv
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.server import ROOT

KEY = "sk-canary-7f3a"
_LOCUST = Path(sys.executable).with_name("locust")


@dataclass(frozen=True)
class Run:
    """What is left of one."""

    code: int
    output: str
    csv_prefix: Path

    @property
    def figures(self) -> dict[str, dict[str, str]]:
        """Of tokens, by kind of user and column."""
        return self._rows("tokens", "name")

    @property
    def compared(self) -> dict[str, dict[str, str]]:
        """What clients saw and what the server says, by row and column."""
        return self._rows("server", "")

    def _rows(self, what: str, key: str) -> dict[str, dict[str, str]]:
        with Path(f"{self.csv_prefix}_{what}.csv").open(newline="") as file:
            return {row[key]: row for row in csv.DictReader(file)}


def command(*words: str) -> list[str]:
    """Without a page."""
    file = ROOT / "bench/locust/locustfile.py"
    return [str(_LOCUST), "-f", str(file), "--headless", "--only-summary", *words]


def environment(key: str = KEY) -> dict[str, str]:
    return {**os.environ, "OPENAI_API_KEY": key, "PYTHONPATH": str(ROOT)}


def run(directory: Path, url: str, *words: str) -> Run:
    """To its end, with a report and CSV files in `directory`."""
    prefix = directory / "load"
    files = ["--csv", str(prefix), "--html", str(directory / "report.html")]
    done = subprocess.run(
        command("--host", url, *files, *words),
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    return Run(done.returncode, done.stdout, prefix)
