"""What a benchmark with bars finds, printed and in files."""

import argparse
import contextlib
import json
import shlex
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench.circumstances import circumstances
from bench.compare import free_name
from bench.stacks import ROOT
from bench.stats import to_json
from bench.table import table

_WHERE_TO = {"output", "log_dir", "label"}
"""Options that say nothing of what was measured."""


@dataclass(frozen=True)
class Bar:
    """What a benchmark has to show. A value that is not a number has not shown it."""

    what: str
    value: float
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool:
        above = self.least is None or self.value >= self.least
        below = self.most is None or self.value <= self.most
        return self.value == self.value and above and below

    def row(self) -> list[str]:
        """Its line in the table of bars."""
        wanted = [f">= {self.least:g}"] if self.least is not None else []
        wanted += [f"<= {self.most:g}"] if self.most is not None else []
        return [self.what, figure(self.value), " and ".join(wanted), "yes" if self.met else "NO"]


class Notebook:
    """One benchmark's files: `.jsonl` as it goes, `.txt` and `.png` at its end."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        """`name` is the benchmark's module, below `bench`."""
        self._where = circumstances()
        label = options.label or name.replace(".", "-")
        self._options = options
        self._path = free_name(options.output, f"{self._where['date'][:10]}-{label}")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._name = name
        self.note("circumstances", self._where)
        self._given = {k: v for k, v in vars(options).items() if k not in _WHERE_TO}
        self.note("options", self._given)

    def note(self, kind: str, found: Mapping[str, Any]) -> None:
        """Into the file at once."""
        with self._beside(".jsonl").open("a") as file:
            print(to_json({kind: json.loads(json.dumps(found, default=str))}), file=file)

    def end(
        self,
        blocks: Sequence[str],
        bars: Sequence[Bar],
        found: Mapping[str, Any],
        picture: Figure | None = None,
    ) -> int:
        """Print everything, one JSON line last. Returns the exit status."""
        rows = [["bar", "found", "wanted", "met"], *(bar.row() for bar in bars)]
        head = [f"{name}: {value}" for name, value in self._where.items()]
        head.append(f"seed: {self._options.seed}; rounds: {self._options.rounds}")
        summary = {
            "benchmark": self._name,
            **self._where,
            "options": self._given,
            "bars": [{**asdict(bar), "met": bar.met} for bar in bars],
            **found,
        }
        line = to_json(json.loads(json.dumps(summary, default=str)))
        text = "\n\n".join(["\n".join(head), *blocks, table(rows)]) + f"\n\n{line}\n"
        command = shlex.join(["python", "-m", f"bench.{self._name}", *sys.argv[1:]])
        self._beside(".txt").write_text(f"$ {command}\n{text}")
        if picture is not None:
            picture.savefig(self._beside(".png"), dpi=120)
        print(text, end="")
        return 0 if all(bar.met for bar in bars) else 1

    @contextlib.contextmanager
    def logs(self) -> Iterator[Path]:
        """Where the servers' logs go."""
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            yield self._options.log_dir or Path(scratch)

    def _beside(self, ending: str) -> Path:
        return self._path.with_name(f"{self._path.name}{ending}")


def parser(name: str, doc: str | None, *, model: str, rounds: int) -> argparse.ArgumentParser:
    """The options that all of them have."""
    made = argparse.ArgumentParser(
        prog=f"python -m bench.{name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--model", default=model, help="small, 90m, or a model's directory")
    made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--seed", type=int, default=0)
    made.add_argument(
        "--engine-args", type=json.loads, default={}, metavar="JSON", help="over the defaults"
    )
    made.add_argument("--output", type=Path, default=ROOT / "bench" / "results")
    made.add_argument("--label", help="what the files are called, after the date")
    made.add_argument("--log-dir", type=Path, help="where the servers' logs stay; else they go")
    return made


def numbers(text: str) -> tuple[float, ...]:
    """`0.5,1,2`"""
    return tuple(map(float, text.split(",")))


def model(name: str) -> tuple[str, Path]:
    """The name that clients ask for, and its directory."""
    if Path(name).is_dir():
        return Path(name).resolve().name, Path(name).resolve()
    from deployments.default_model import ensure

    return name, ensure(f"sluice-{name}")


def figure(value: float | None) -> str:
    """For a table."""
    if value is None or value != value:
        return "-"
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f}"


def say(what: str) -> None:
    """Progress, which is no result."""
    print(what, file=sys.stderr, flush=True)


def end_at_sigterm() -> None:
    """So that the servers are stopped then too. A second one must not cut that short."""

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(143)

    signal.signal(signal.SIGTERM, end)
