"""Stacks beside each other under the same loads, in interleaved rounds.

`python -m bench.compare --concurrency 1,64 --lengths short,long --rounds 3`. One stack is up at a
time, as an idle one would still use CPU; the first is the one that the others are compared to. What
is found is in a file as soon as it is found. Exits with 1 when a stack failed or a request did.
"""

import contextlib
import itertools
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from bench import plots, yardstick
from bench.circumstances import circumstances
from bench.driving import ClientFailed
from bench.measure import measure
from bench.options import Options, parse
from bench.peers import PeersFailed
from bench.plan import STREAM, WHOLE, Cell, Plan
from bench.report import render
from bench.stacks import ROOT, Server, Setup, StackFailed, running
from bench.stats import to_json
from bench.store import Failure, Journal
from bench.summary import summarize

Start = Callable[[str, Setup, Path], contextlib.AbstractContextManager[Server]]


class Comparison:
    """Carries out a plan; what fails is noted, and the rest goes on."""

    def __init__(
        self,
        plan: Plan,
        models: Mapping[str, Path],
        journal: Journal,
        directory: Path,
        start: Start = running,
    ) -> None:
        self._plan = plan
        self._models = models
        self._journal = journal
        self._directory = directory
        self._start = start

    def run(self) -> None:
        for model in self._plan.models:
            for number in range(self._plan.rounds):
                for stack in self._plan.order(number):
                    _say(f"{model}, round {number + 1} of {self._plan.rounds}: {stack} starts")
                    with self._noted(stack, model, number):
                        self._visit(stack, model, number)

    def _visit(self, stack: str, model: str, number: int) -> None:
        with self._started(stack, model, number) as server:
            _say(f"  ready after {server.ready_after_s:.0f} s")
            if self._plan.warm_up_requests:
                server.run(self._plan.warm_up(model, number))
            for cell in self._plan.cells():
                if cell.model == model:
                    with self._noted(stack, model, number):
                        self._measure(server, cell, number)

    @contextlib.contextmanager
    def _started(self, stack: str, model: str, number: int) -> Iterator[Server]:
        plan = self._plan
        environment = dict(plan.environment)
        if plan.simulated is not None:  # every process of every stack must find the executor
            environment["PYTHONPATH"] = str(ROOT)
        setup = Setup(
            model, self._models[model], plan.engine_args, plan.start_timeout_s, environment
        )
        server = None
        try:
            where = self._directory / f"{model}-{number + 1}-{stack}"
            with self._start(stack, setup, where) as server:
                yield server
        finally:
            if server is not None and server.leftovers:
                _say(f"  had to kill {', '.join(server.leftovers)}")

    def _measure(self, server: Server, cell: Cell, number: int) -> None:
        load = self._plan.load(cell, number)
        run = measure(server, cell, number, load)
        self._journal.add(run)
        _say(
            f"  {cell.lengths} {STREAM if cell.stream else WHOLE} {cell.concurrency}: "
            f"{run.load.output_tok_s:.0f} tok/s in {run.load.seconds:.1f} s, serving "
            f"{run.serving_us_per_token:.0f} us/tok, errors {run.load.errors or 'none'}"
        )
        if self._plan.yardstick and self._plan.is_headline(cell) and server.url is not None:
            outside = replace(load, url=server.url)
            found = yardstick.hold(server.name, cell, number, outside, self._models[cell.model])
            self._journal.add(found)
            _say(f"  vllm bench serve: {found.output_tok_s:.0f} tok/s")

    @contextlib.contextmanager
    def _noted(self, stack: str, model: str, number: int) -> Iterator[None]:
        try:
            yield
        except (StackFailed, ClientFailed, PeersFailed, yardstick.YardstickFailed) as exc:
            self._journal.add(Failure(stack, model, number, str(exc)))
            _say(f"  {stack} FAILED: {exc}")


def free_name(directory: Path, name: str) -> Path:
    """The files' common beginning: numbered where a record of the same day has that name."""
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(directory / one for one in names if not (directory / f"{one}.jsonl").exists())


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _compare(options: Options) -> bool:
    where = circumstances()
    name = free_name(options.output, f"{where['date'][:10]}-{options.plan.label}")
    journal = Journal(name.with_name(f"{name.name}.jsonl"), where, options.plan)
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        directory = options.log_dir or Path(scratch)
        Comparison(options.plan, options.models, journal, directory).run()
    said = render(journal.record, verbose=options.verbose)
    text = f"{said}\n\n{to_json(summarize(journal.record))}\n"
    command = shlex.join(["python", "-m", "bench.compare", *sys.argv[1:]])
    name.with_name(f"{name.name}.txt").write_text(f"$ {command}\n{text}")
    print(text, end="")
    plots.draw(journal.record, name)
    return journal.record.good


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    # So that the stacks are stopped then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(0 if _compare(options) else 1)


if __name__ == "__main__":
    main()
