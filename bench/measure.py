"""One load on one running stack, with what it cost on both sides."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import psutil

from bench.client import Load, LoadResult
from bench.plan import Cell
from bench.processes import is_engine, rss_bytes, spent
from bench.server import Server


@dataclass(frozen=True)
class Run:
    """One stack under the load of one cell, once."""

    stack: str
    cell: Cell
    round: int
    load: LoadResult
    cpu_s: Mapping[str, float]
    """Of the stack's processes, by label."""
    peak_rss_bytes: int
    """The greatest sum seen; what processes share counts for each of them."""
    other_cpu_share: float
    """Of the whole machine: what neither this stack nor the client used, and time stolen from
    the machine. A round with much of it is a bad one."""
    client_is_inside: bool = False
    """Whether the client is one of the stack's processes, whose cost is then both's."""

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Run":
        """What `asdict` gave, also after JSON."""
        load = LoadResult.from_json(json.dumps(fields["load"]))
        return cls(**{**fields, "cell": msgspec.convert(fields["cell"], Cell), "load": load})

    @property
    def serving_us_per_token(self) -> float:
        return self._us_per_token(lambda label: not is_engine(label))

    @property
    def engine_us_per_token(self) -> float:
        return self._us_per_token(is_engine)

    def process_us_per_token(self, label: str) -> float:
        """Of one of the stack's processes."""
        return self._us_per_token(lambda other: other == label)

    def _us_per_token(self, wanted: Callable[[str], bool]) -> float:
        tokens = self.load.output_tokens
        seconds = sum(used for label, used in self.cpu_s.items() if wanted(label))
        return seconds * 1e6 / tokens if tokens else float("nan")


def measure(server: Server, cell: Cell, number: int, load: Load) -> Run:
    """Run `load`. Raises ClientFailed."""
    before, machine = server.tree.sample(), _machine_cpu()
    peak = rss_bytes(before)

    def tick() -> None:
        nonlocal peak
        peak = max(peak, rss_bytes(server.tree.sample()))

    result = server.run(load, tick)
    after = server.tree.sample()
    busy, total = (now - then for now, then in zip(_machine_cpu(), machine, strict=True))
    cpu_s = spent(before, after)
    inside = server.url is None
    other = busy - sum(cpu_s.values()) - (0.0 if inside else result.client_cpu_s)
    return Run(
        stack=server.name,
        cell=cell,
        round=number,
        load=result,
        cpu_s=cpu_s,
        peak_rss_bytes=max(peak, rss_bytes(after)),
        other_cpu_share=max(0.0, other) / total if total else 0.0,
        client_is_inside=inside,
    )


def _machine_cpu() -> tuple[float, float]:
    """CPU seconds of all cores so far: busy or stolen, and all."""
    times = psutil.cpu_times()
    # The time of guests is in the user time already.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - times.idle - getattr(times, "iowait", 0.0), total
