"""Goodput from half to three times what a stack can do, Sluice beside `vllm serve`.

Requests arrive by chance (Poisson) at multiples of each stack's own capacity, which a closed loop
measures first, and carry a deadline for their first token. Goodput is the output tokens a second of
those whose first token came in time; the strict goodput wants the others at a pace as well.

Sluice then shows what its refusals are worth: under overload some refused requests are sent again
when they were told to; and a queue that is filled at once and only drains is probed until it lets
one in.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench import notebook
from bench.judgement import drain, openloop, overload_report
from bench.judgement.drain import DEADLINE_HEADER, Drain, Drained
from bench.judgement.goodput import Again, Figures, Terms, again, figures, points
from bench.judgement.openloop import KEPT, Traffic
from bench.judgement.overload_report import Visit, ratios
from bench.judgement.serving import ENGINE_ARGS
from bench.notebook import Notebook, say
from bench.stacks import Server, Setup, exists, running

_SEEDS_A_VISIT = 1000


class Overload:
    """The rounds, one stack up at a time."""

    def __init__(self, options: argparse.Namespace, book: Notebook, logs: Path) -> None:
        self._options = options
        self._book = book
        self._logs = logs
        self._model, self._directory = notebook.model(options.model)
        self._engine_args = engine_args(options)
        self._visits = 0

    def run(self) -> list[Visit]:
        """Every visit. Raises StackFailed or ClientFailed."""
        stacks: tuple[str, ...] = self._options.stacks
        visits = []
        for number in range(self._options.rounds):
            first = number % len(stacks)
            for stack in stacks[first:] + stacks[:first]:
                say(f"round {number + 1} of {self._options.rounds}: {stack} starts")
                setup = Setup(self._model, self._directory, self._engine_args)
                with running(stack, setup, self._logs / f"{number + 1}-{stack}") as server:
                    visits.append(self._visit(server, stack, number))
        return visits

    def _visit(self, server: Server, stack: str, number: int) -> Visit:
        options = self._options
        self._visits += 1
        capacity = self._capacity(server)
        by_rate: dict[float, Figures] = {}
        foreseen: list[tuple[float, float]] = []
        for place, multiple in enumerate(options.multiples):
            outcomes = openloop.send(self._traffic(server, multiple * capacity, place))
            by_rate[multiple] = found = figures(outcomes, self.terms)
            foreseen += points(outcomes)
            note = {"stack": stack, "round": number, "multiple": multiple, **asdict(found)}
            self._book.note("rate", note)
            self._book.note("foreseen", {"stack": stack, "points": points(outcomes)})
            say(
                f"  {multiple:g} x {capacity:.1f}/s: goodput {found.goodput_tok_s:.0f} tok/s, "
                f"{found.answered} of {found.sent} answered, refused {found.refused or 'none'}, "
                f"late {found.late}, lost {found.lost or 'none'}"
            )
        judges = stack.startswith("sluice")
        return Visit(
            stack=stack,
            round=number,
            capacity_req_s=capacity,
            by_rate=by_rate,
            foreseen=foreseen,
            again=self._again(server, stack, capacity) if judges else None,
            drained=self._drains(server, stack, capacity) if judges else [],
        )

    @property
    def terms(self) -> Terms:
        """When a request counts."""
        options = self._options
        return Terms(
            deadline_s=options.deadline_s,
            tpot_s=options.tpot_ms / 1000,
            start_s=options.ramp,
            end_s=options.seconds,
        )

    def _capacity(self, server: Server) -> float:
        """Requests a second, by users each of whom always has one under way; also a warm-up."""
        options = self._options
        plain = self._traffic(server, options.users, 900)
        users = replace(
            plain, arrivals=KEPT, seconds=options.ramp + options.seconds / 2, headers={}
        )
        found = figures(openloop.send(users), replace(self.terms, end_s=users.seconds))
        say(f"  {options.users} users: {found.tok_s:.0f} tok/s, lost {found.lost or 'none'}")
        return float(options.capacity or found.tok_s / options.output_len)

    def _again(self, server: Server, stack: str, capacity: float) -> Again:
        """Refused requests, sent once more under overload."""
        options = self._options
        rate = options.again_at * capacity
        outcomes = openloop.send(self._traffic(server, rate, 100, options.again_every))
        found = again(outcomes)
        self._book.note("again", {"stack": stack, **asdict(found)})
        say(f"  sent again: {found.sent}, of which let in {found.admitted}")
        return found

    def _drains(self, server: Server, stack: str, capacity: float) -> list[Drained]:
        """Queues that are filled at once and only drain."""
        drained = []
        for place in range(self._options.drains):
            found = drain.run(self._drain(server, capacity, place))
            self._book.note("drained", {"stack": stack, **asdict(found)})
            told = ratios([found])
            say(f"  drain {place + 1}: {len(found.probes)} probes, {len(told)} to judge by")
            drained.append(found)
        return drained

    def _traffic(self, server: Server, rate: float, place: int, retry_every: int = 0) -> Traffic:
        options = self._options
        assert server.url is not None
        return Traffic(
            url=server.url,
            model=self._model,
            rate=rate,
            seconds=options.seconds,
            input_len=options.input_len,
            output_len=options.output_len,
            seed=self._seed(place),
            headers={DEADLINE_HEADER: str(round(options.deadline_s * 1000))},
            retry_every=retry_every,
        )

    def _drain(self, server: Server, capacity: float, place: int) -> Drain:
        """A queue of two to eight seconds, and probes that want in within half to two."""
        options = self._options
        queue_s = 2.0 + 6.0 * place / max(1, options.drains - 1)
        return Drain(
            traffic=self._traffic(server, 1.0, 200 + place),
            burst=options.max_num_seqs + round(queue_s * capacity),
            burst_deadline_s=3 * queue_s + 30,
            probe_deadline_s=(0.5, 1.0, 2.0)[place % 3],
        )

    def _seed(self, place: int) -> int:
        """Of one traffic of one visit: no two have the same prompts."""
        own: int = self._options.seed
        return (own * _SEEDS_A_VISIT + self._visits) * _SEEDS_A_VISIT + place


def engine_args(options: argparse.Namespace) -> Mapping[str, Any]:
    """What both stacks are given alike."""
    return {**ENGINE_ARGS, "max_num_seqs": options.max_num_seqs, **options.engine_args}


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Ends the program where the options make no sense."""
    parser = notebook.parser("judgement.overload", __doc__, model="90m", rounds=2)
    add = parser.add_argument
    add("--stacks", type=lambda text: tuple(text.split(",")), default=("vllm", "sluice"))
    add("--multiples", type=notebook.numbers, default=(0.5, 1.0, 1.5, 2.0, 3.0))
    add("--capacity", type=float, help="requests a second, if not to be measured")
    add("--users", type=int, default=64, help="that measure it")
    add("--seconds", type=float, default=30, help="that requests arrive, at each rate")
    add("--ramp", type=float, default=6, help="the first of these seconds do not count")
    add("--deadline-s", type=float, default=2, help="for the first token")
    add("--tpot-ms", type=float, default=150, help="of the strict goodput")
    add("--input-len", type=int, default=64)
    add("--output-len", type=int, default=64)
    add("--max-num-seqs", type=int, default=128, help="of each engine")
    add("--again-at", type=float, default=2, help="times capacity, where refusals come back")
    add("--again-every", type=int, default=5, help="every so manieth refused request is sent again")
    add("--drains", type=int, default=6, help="in each round")
    options = parser.parse_args(argv)
    if unknown := [stack for stack in options.stacks if not exists(stack)]:
        parser.error(f"no stack {', '.join(unknown)}")
    if options.ramp >= options.seconds:
        parser.error("the ramp is as long as the whole")
    return options


def main(argv: list[str] | None = None) -> None:
    """Measure, report, and end with 1 when a bar is missed."""
    options = parse(argv)
    notebook.end_at_sigterm()
    book = Notebook("judgement.overload", options)
    with book.logs() as logs:
        visits = Overload(options, book, logs).run()
    sys.exit(overload_report.report(book, options, visits))


if __name__ == "__main__":
    main()
