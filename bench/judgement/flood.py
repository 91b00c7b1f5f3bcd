"""One tenant at a request a second, alone and while another keeps hundreds of requests waiting.

Two engine replicas. Tenant B asks at even intervals; then tenant A floods: so many requests at
once, each that ends replaced by the next, as long as B is measured. The fair queue and plain first
in, first out stand beside each other, in rounds that alternate.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from bench import notebook
from bench.judgement import openloop
from bench.judgement.exchange import Outcome
from bench.judgement.openloop import EVEN, KEPT, Running, Traffic
from bench.judgement.serving import Sluice, Tenant, Wanted, serving
from bench.notebook import Bar, Notebook, figure, say
from bench.plan import Lengths
from bench.stats import Percentiles
from bench.table import table

ALONE, FLOODED, FLOOD = "B alone", "B flooded", "A's flood"
_FAIR = "fair"
_MOST_TIMES = 2.0
_FILLS_S = 6.0  # until the flood's first answers have ended and it is steady
_WARM_UP_S = 3.0
_SEEDS_A_VISIT = 100


class Flood:
    """The rounds."""

    def __init__(self, options: argparse.Namespace, book: Notebook, logs: Path) -> None:
        self._options = options
        self._book = book
        self._logs = logs
        self._model, self._directory = notebook.model(options.model)
        self._visits = 0
        self.found: dict[tuple[str, str], list[Outcome]] = {}
        """By queue and phase, over all rounds."""

    def run(self) -> None:
        """Every queue in every round. Raises StackFailed or ClientFailed."""
        queues: tuple[str, ...] = self._options.queues
        for number in range(self._options.rounds):
            first = number % len(queues)
            for queue in queues[first:] + queues[:first]:
                say(f"round {number + 1} of {self._options.rounds}: {queue} starts")
                self._visit(queue, number)

    def _visit(self, queue: str, number: int) -> None:
        self._visits += 1
        tenants = Tenant("b"), Tenant("a")
        wanted = Wanted(
            self._model,
            self._directory,
            self._options.replicas,
            engine_args={"max_num_seqs": self._options.max_num_seqs, **self._options.engine_args},
            router={"queue": queue},
            tenants=tenants,
            num_gpus=self._options.num_gpus,
        )
        with serving("sluice", wanted, self._logs / f"{number + 1}-{queue}") as server:
            phases = self._phases(server, *tenants)
        for phase, outcomes in phases.items():
            self.found.setdefault((queue, phase), []).extend(outcomes)
            sums = summary(phase, outcomes, self._options)
            self._book.note("phase", {"queue": queue, "round": number, "phase": phase, **sums})
            say(f"  {queue}, {phase}: {sums}")

    def _phases(self, server: Sluice, b: Tenant, a: Tenant) -> dict[str, list[Outcome]]:
        options = self._options
        lengths, flood_lengths = options.lengths, options.flood_lengths
        openloop.send(self._traffic(server, a, KEPT, 32, _WARM_UP_S, flood_lengths, 0))
        found = {
            ALONE: openloop.send(
                self._traffic(server, b, EVEN, options.rate, options.seconds, lengths, 1)
            )
        }
        # So long that it covers the start of the other process and B's last answers.
        longer = options.seconds + 2 * _FILLS_S
        flood = Running(self._traffic(server, a, KEPT, options.at_once, longer, flood_lengths, 2))
        time.sleep(_FILLS_S)
        found[FLOODED] = openloop.send(
            self._traffic(server, b, EVEN, options.rate, options.seconds, lengths, 3)
        )
        found[FLOOD] = flood.outcomes()
        return found

    def _traffic(
        self,
        server: Sluice,
        tenant: Tenant,
        arrivals: str,
        rate: float,
        seconds: float,
        lengths: Lengths,
        place: int,
    ) -> Traffic:
        return Traffic(
            url=server.address,
            model=self._model,
            arrivals=arrivals,
            rate=rate,
            seconds=seconds,
            input_len=lengths.prompt,
            output_len=lengths.answer,
            seed=(self._options.seed * 1000 + self._visits) * _SEEDS_A_VISIT + place,
            headers=tenant.headers,
        )


def summary(phase: str, outcomes: Sequence[Outcome], options: argparse.Namespace) -> dict[str, Any]:
    """Counts, latencies and throughput of one phase."""
    ttft = Percentiles.of((one.ttft_s for one in outcomes if one.ttft_s is not None), 1e3)
    start = _FILLS_S if phase == FLOOD else 0.0
    end = start + options.seconds
    return {
        "sent": len(outcomes),
        "answered": sum(one.whole for one in outcomes),
        "refused": sum(one.refused for one in outcomes),
        "lost": sum(one.lost for one in outcomes),
        "ttft_p50_ms": ttft.p50,
        "ttft_p99_ms": ttft.p99,
        "tok_s": sum(one.tokens_between(start, end) for one in outcomes) / options.seconds,
    }


def times_alone(found: dict[tuple[str, str], list[Outcome]], queue: str) -> float:
    """B's p99 while A floods over its p99 alone; NaN when either is unknown."""

    def p99(phase: str) -> float:
        outcomes = found.get((queue, phase), [])
        return Percentiles.of(one.ttft_s for one in outcomes if one.ttft_s is not None).p99

    return p99(FLOODED) / p99(ALONE)


def report(
    book: Notebook, options: argparse.Namespace, found: dict[tuple[str, str], list[Outcome]]
) -> int:
    """Print and store everything; returns the exit status."""
    rows = [["queue", "phase", "sent", "answered", "refused", "lost", "TTFT p50", "p99", "tok/s"]]
    results: dict[str, Any] = {}
    lost = 0
    for queue, phase in product(options.queues, (ALONE, FLOODED, FLOOD)):
        outcomes = found[queue, phase]
        sums = summary(phase, outcomes, options)
        sums["tok_s"] /= options.rounds
        lost += sums["lost"]
        rows.append([queue, phase, *(_cell(value) for value in sums.values())])
        results.setdefault(queue, {})[phase] = sums
    times = {queue: times_alone(found, queue) for queue in options.queues}
    title = (
        f"== {options.model}: {options.replicas} engine replicas of {options.max_num_seqs} "
        f"sequences; B {options.rate:g}/s of {options.lengths}, "
        f"A {options.at_once} at once of {options.flood_lengths} =="
    )
    note = f"ms; all rounds' requests together, {options.seconds:g} s each"
    sentences = [
        f"{queue}: B's p99 while A floods is {figure(one)} times its p99 alone"
        for queue, one in times.items()
    ]
    bars = [Bar("requests lost", lost, most=0)]
    if _FAIR in times:
        refused = results[_FAIR][FLOODED]["refused"]
        bars.append(Bar("fair: B's requests refused", refused, most=0))
        bars.append(Bar("fair: B's p99 flooded over alone", times[_FAIR], most=_MOST_TIMES))
    blocks = [f"{title}\n{table(rows)}\n{note}", "\n".join(sentences)]
    return book.end(blocks, bars, {"queues": results, "times_alone": times})


def _cell(value: float) -> str:
    return str(value) if isinstance(value, int) else figure(value)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Ends the program where the options make no sense."""
    parser = notebook.parser("judgement.flood", __doc__, model="small", rounds=2)
    add = parser.add_argument
    add("--queues", type=lambda text: tuple(text.split(",")), default=("fair", "fifo"))
    add("--replicas", type=int, default=2)
    add("--rate", type=float, default=1.0, help="B's requests a second")
    add("--seconds", type=float, default=60, help="of B alone, and again of B flooded")
    add("--at-once", type=int, default=200, help="requests that A keeps up")
    add("--lengths", type=Lengths.parse, default=Lengths(64, 64), help="B's, as in 64x64")
    add("--flood-lengths", type=Lengths.parse, default=Lengths(64, 64), help="A's")
    add("--max-num-seqs", type=int, default=16, help="of each engine")
    add("--num-gpus", type=float, help="of each engine, where there are any: 0.5 to share one")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Measure, report, and end with 1 when a bar is missed."""
    options = parse(argv)
    notebook.end_at_sigterm()
    book = Notebook("judgement.flood", options)
    with book.logs() as logs:
        flood = Flood(options, book, logs)
        flood.run()
    sys.exit(report(book, options, flood.found))


if __name__ == "__main__":
    main()
