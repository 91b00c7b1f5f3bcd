"""One load on one running stack, with what it cost on both sides."""

import contextlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from bench.client import Load, LoadResult, arguments
from bench.processes import Tree, is_engine, rss_bytes, spent
from bench.stacks import ROOT

_SAMPLE_S = 1.0
_CLIENT_STARTS_S = 30.0


class ClientFailed(Exception):
    """The client brought no result."""


@dataclass(frozen=True)
class Run:
    """One round of one stack."""

    stack: str
    round: int
    load: LoadResult
    cpu_s: dict[str, float]
    """Of the stack's processes, by label."""
    peak_rss_bytes: int
    """The greatest sum seen; what processes share counts for each of them."""
    other_cpu_share: float
    """Of the whole machine: what neither this stack nor the client used, and time stolen from
    the machine. A round with much of it is a bad one."""

    @property
    def serving_us_per_token(self) -> float:
        return self._us_per_token(lambda label: not is_engine(label))

    @property
    def engine_us_per_token(self) -> float:
        return self._us_per_token(is_engine)

    def _us_per_token(self, wanted: Callable[[str], bool]) -> float:
        seconds = sum(used for label, used in self.cpu_s.items() if wanted(label))
        return per_token(seconds, self.load.output_tokens)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {
            "serving_us_per_token": self.serving_us_per_token,
            "engine_us_per_token": self.engine_us_per_token,
        }


def per_token(seconds: float, tokens: int) -> float:
    """Microseconds for each token; NaN without tokens."""
    return seconds * 1e6 / tokens if tokens else float("nan")


def measure(stack: str, number: int, tree: Tree, load: Load) -> Run:
    """Run `load` in a process of its own. Raises ClientFailed."""
    before, machine = tree.sample(), _machine_cpu()
    peak = rss_bytes(before)

    def tick() -> None:
        nonlocal peak
        peak = max(peak, rss_bytes(tree.sample()))

    result = run_client(load, tick)
    after = tree.sample()
    busy, total = (now - then for now, then in zip(_machine_cpu(), machine, strict=True))
    cpu_s = spent(before, after)
    other = busy - sum(cpu_s.values()) - result.client_cpu_s
    share = max(0.0, other) / total
    return Run(stack, number, result, cpu_s, max(peak, rss_bytes(after)), share)


def run_client(load: Load, tick: Callable[[], None] = lambda: None) -> LoadResult:
    """`bench.client` with this load; `tick` is called now and then. Raises ClientFailed."""
    command = [sys.executable, "-m", "bench.client", "--json", *arguments(load)]
    client = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        for _ in range(int((load.timeout_s + _CLIENT_STARTS_S) / _SAMPLE_S)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                out, err = client.communicate(timeout=_SAMPLE_S)
                break
            tick()
        else:
            raise ClientFailed("the client did not end in its own time")
    finally:
        client.kill()
        client.wait()
    if client.returncode != 0:
        raise ClientFailed(err.strip()[-500:])
    return LoadResult.from_json(out.splitlines()[-1])


def _machine_cpu() -> tuple[float, float]:
    """CPU seconds of all cores so far: busy or stolen, and all."""
    times = psutil.cpu_times()
    # The time of guests is in the user time already.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - times.idle - getattr(times, "iowait", 0.0), total
