"""A good client's latency, alone and while somebody else sends what is meant to hurt.

One engine replica. For each attack of bench.attack_list the good client asks at even intervals,
alone and then beside the attack, which is repeated on new connections all the while. The attacker
yields the cores to everybody: what it costs is then what it does to the server.

    python -m bench.attacks
"""

import argparse
import os
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench import notebook
from bench.attack_list import Attack, Verdict, attacks, launch
from bench.judgement import openloop
from bench.judgement.exchange import Outcome
from bench.judgement.openloop import EVEN, Running, Traffic
from bench.judgement.serving import Sluice, Wanted, serving
from bench.notebook import Bar, Notebook, figure, say
from bench.plan import Lengths
from bench.stats import Percentiles
from bench.table import table

_MOST_TIMES = 2.0
_ANSWERED_WITHIN_S = 1.0
_WARM_UP_S = 3.0


@dataclass(frozen=True, kw_only=True)
class Round:
    """One attack, and the good client before it and beside it."""

    attack: Attack
    verdicts: list[Verdict]
    alone: list[Outcome]
    attacked: list[Outcome]

    @property
    def good(self) -> bool:
        """Whether each was refused by name and in time, and cut off where it has to be."""
        return all(
            400 <= one.status < 500
            and (one.code is not None or not self.attack.is_http)
            and one.answered_s <= self.attack.waits_s + _ANSWERED_WITHIN_S
            and (one.closed or not self.attack.closes)
            for one in self.verdicts
        )


class Attacker:
    """Repeats one attack from so many threads, until it is told to stop."""

    def __init__(self, address: tuple[str, int], attack: Attack, at_once: int, rest_s: float):
        self._address, self._attack, self._rest_s = address, attack, rest_s
        self._stopping = threading.Event()
        self.verdicts: list[Verdict] = []
        self._threads = [threading.Thread(target=self._repeat) for _ in range(at_once)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> list[Verdict]:
        """What became of each, when the last has ended."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        return self.verdicts

    def _repeat(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)  # of this thread alone
        while True:
            self.verdicts.append(launch(self._address, self._attack))
            if self._stopping.wait(self._rest_s):
                return


class Campaign:
    """The rounds."""

    def __init__(self, options: argparse.Namespace, book: Notebook, logs: Path) -> None:
        self._options, self._book, self._logs = options, book, logs
        self._model, self._directory = notebook.model(options.model)
        self._phases = 0
        self.rounds: list[Round] = []
        self.pictures_fetched = 0
        self.same_engines = False

    def run(self) -> None:
        """Every attack in every round. Raises StackFailed or ClientFailed."""
        wanted = Wanted(
            self._model, self._directory, replicas=1, engine_args=self._options.engine_args
        )
        with serving("sluice", wanted, self._logs) as server, socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            listening.setblocking(False)
            engines = _replicas(server)
            self._good(server, _WARM_UP_S)
            for _ in range(self._options.rounds):
                for attack in attacks(self._model, listening.getsockname()[1]):
                    if self._options.only in attack.name:
                        self._round(server, attack)
            self.pictures_fetched = _waiting(listening)
            self.same_engines = _replicas(server) == engines

    def _round(self, server: Sluice, attack: Attack) -> None:
        alone = self._good(server, self._options.seconds)
        running = Running(self._traffic(server, self._options.seconds))
        url = urlsplit(server.address)
        assert url.hostname is not None
        assert url.port is not None
        attacker = Attacker(
            (url.hostname, url.port), attack, self._options.at_once, self._options.rest_s
        )
        try:
            attacked = running.outcomes()
        finally:
            verdicts = attacker.stop()
        found = Round(attack=attack, verdicts=verdicts, alone=alone, attacked=attacked)
        self.rounds.append(found)
        self._book.note("attack", summary([found]))
        say(f"  {attack.name}: {summary([found])}")

    def _good(self, server: Sluice, seconds: float) -> list[Outcome]:
        return openloop.send(self._traffic(server, seconds))

    def _traffic(self, server: Sluice, seconds: float) -> Traffic:
        self._phases += 1
        return Traffic(
            url=server.address,
            model=self._model,
            arrivals=EVEN,
            rate=self._options.rate,
            seconds=seconds,
            input_len=self._options.lengths.prompt,
            output_len=self._options.lengths.answer,
            seed=self._options.seed * 1000 + self._phases,
        )


def summary(rounds: Sequence[Round]) -> dict[str, Any]:
    """Of one attack, all its rounds together."""
    verdicts = [one for found in rounds for one in found.verdicts]
    alone = [one for found in rounds for one in found.alone]
    attacked = [one for found in rounds for one in found.attacked]
    before, beside = _latencies(alone), _latencies(attacked)
    waited = rounds[0].attack.waits_s
    return {
        "attack": rounds[0].attack.name,
        "sent": len(verdicts),
        "statuses": sorted({one.status for one in verdicts}),
        "codes": sorted({str(one.code) for one in verdicts}),
        "slowest_ms": 1e3 * max((one.answered_s for one in verdicts), default=float("nan"))
        - 1e3 * waited,
        "good": bool(verdicts) and all(found.good for found in rounds),
        "alone_p50_ms": before.p50,
        "alone_p99_ms": before.p99,
        "attacked_p50_ms": beside.p50,
        "attacked_p99_ms": beside.p99,
        "times_alone": beside.p99 / before.p99,
        "lost": sum(not one.whole for one in alone + attacked),
    }


def report(book: Notebook, options: argparse.Namespace, campaign: Campaign) -> int:
    """Print and store everything; returns the exit status."""
    by_name: dict[str, list[Round]] = {}
    for found in campaign.rounds:
        by_name.setdefault(found.attack.name, []).append(found)
    sums = [summary(rounds) for rounds in by_name.values()]
    rows = [["attack", "sent", "status", "code", "slowest", "p50 alone", "p99", "p50 beside"]]
    rows[0] += ["p99", "p99 over p99 alone", "lost"]
    rows += map(_row, sums)
    title = (
        f"== {options.model}: a good client at {options.rate:g}/s of {options.lengths}; "
        f"{options.at_once} attackers, each {options.rest_s:g} s after its last answer =="
    )
    note = f"ms from request to whole answer, {options.seconds:g} s of each; slowest: of an attack"
    everything = _latencies([one for found in campaign.rounds for one in found.alone])
    beside = _latencies([one for found in campaign.rounds for one in found.attacked])
    bars = [
        Bar(
            "attacks not refused in time and by name", sum(not one["good"] for one in sums), most=0
        ),
        Bar(
            "p99 beside attacks over p99 alone, all", beside.p99 / everything.p99, most=_MOST_TIMES
        ),
        Bar("the worst attack's", max(one["times_alone"] for one in sums), most=_MOST_TIMES),
        Bar("good requests lost", sum(one["lost"] for one in sums), most=0),
        Bar("pictures fetched", campaign.pictures_fetched, most=0),
        Bar("the same engines afterwards", campaign.same_engines, least=1),
    ]
    sent = {"attacks": sums, "alone_p99_ms": everything.p99, "attacked_p99_ms": beside.p99}
    return book.end([f"{title}\n{table(rows)}\n{note}"], bars, sent)


_PHASES = ("alone_p50", "alone_p99", "attacked_p50", "attacked_p99")


def _row(one: dict[str, Any]) -> list[str]:
    return [
        one["attack"],
        str(one["sent"]),
        " ".join(map(str, one["statuses"])),
        " ".join(one["codes"]),
        figure(one["slowest_ms"]),
        *(figure(one[f"{phase}_ms"]) for phase in _PHASES),
        figure(one["times_alone"]),
        str(one["lost"]),
    ]


def _latencies(outcomes: Sequence[Outcome]) -> Percentiles:
    return Percentiles.of((one.done_at - one.sent_at for one in outcomes if one.whole), 1e3)


def _replicas(server: Sluice) -> set[str]:
    return {engine.replica for engine in server.engines()}


def _waiting(listening: socket.socket) -> int:
    """How many connections wait to be accepted."""
    count = 0
    while True:
        try:
            listening.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Ends the program where the options make no sense."""
    parser = notebook.parser("attacks", __doc__, model="small", rounds=1)
    add = parser.add_argument
    add("--rate", type=float, default=20.0, help="the good client's requests a second")
    add("--seconds", type=float, default=10, help="of the good client alone, and again beside")
    add("--lengths", type=Lengths.parse, default=Lengths(64, 16), help="its tokens, as in 64x16")
    add("--at-once", type=int, default=2, help="attackers")
    add("--rest-s", type=float, default=0.1, help="between an attacker's attacks")
    add("--only", default="", help="attacks whose name has this in it")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Measure, report, and end with 1 when a bar is missed."""
    options = parse(argv)
    notebook.end_at_sigterm()
    book = Notebook("attacks", options)
    with book.logs() as logs:
        campaign = Campaign(options, book, logs)
        campaign.run()
    sys.exit(report(book, options, campaign))


if __name__ == "__main__":
    main()
