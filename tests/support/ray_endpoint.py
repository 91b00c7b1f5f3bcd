"""Ray's own metrics endpoint of a server's node."""

from collections.abc import Iterable
from pathlib import Path

import httpx
import psutil

from tests.support.exposition import Exposition

_FLAG = "--session_dir="


def port(processes: Iterable[int]) -> int:
    """On which Ray's agent, one of these processes, answers; its session's folder says it."""
    for pid in processes:
        for word in _command(pid):
            if word.startswith(_FLAG):
                [file] = Path(word.removeprefix(_FLAG)).glob("metrics_export_port_*")
                return int(file.read_text())
    raise AssertionError("no raylet is among them")


def scraped(processes: Iterable[int]) -> Exposition:
    """What Ray tells now."""
    response = httpx.get(f"http://127.0.0.1:{port(processes)}/metrics", timeout=10)
    return Exposition(response.raise_for_status().text)


def _command(pid: int) -> list[str]:
    try:
        return psutil.Process(pid).cmdline()
    except psutil.NoSuchProcess:
        return []
