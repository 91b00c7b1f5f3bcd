"""Load that grows sixfold and shrinks again, on nodes that Ray's autoscaler starts and stops here.

The nodes are those of `make cluster-local`: Ray's real autoscaler, Serve's controller and our
policy, but another node is another raylet on this machine. Engines are simulated (bench/simulated)
with a fixed time for each step, as real ones would share this machine's cores and be no faster for
being more. All requests have the same lengths, so that it is known what one engine can do.

    python -m bench.growth
"""

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil
from matplotlib.figure import Figure

from bench import notebook
from bench.judgement.exchange import Outcome
from bench.judgement.openloop import Running, Traffic
from bench.judgement.serving import Sluice, Wanted, serving
from bench.notebook import Bar, Notebook, figure, say
from bench.plan import Lengths
from bench.stats import Percentiles
from bench.table import table
from deployments.scheduling.scaling import TARGET_WAIT_S
from deployments.scheduling.terms import Level

MAX_NODES = 3
_NODE_WITHIN_S = 5.0
_SAMPLE_S = 0.25
_SHRUNK_WITHIN_S = 240.0
_TARGET_S = TARGET_WAIT_S[Level.STANDARD]


@dataclass(frozen=True)
class Sample:
    """What was seen at one time, in seconds after the load began."""

    at: float
    queued: int
    replicas: int
    nodes: int


class Observer(threading.Thread):
    """Looks again and again until it is stopped."""

    def __init__(self, server: Sluice, began: float) -> None:
        super().__init__(daemon=True)
        self._server, self._began = server, began
        self._stopping = threading.Event()
        self.samples: list[Sample] = []
        self.nodes: dict[int, float] = {}
        """When each raylet but the head's was started, by pid."""

    def run(self) -> None:
        while not self._stopping.wait(_SAMPLE_S):
            at = time.time() - self._began
            alive = self._raylets()
            self.nodes |= alive
            state = self._server.state()
            replicas = sum(engine.beats for engine in state.engines)
            self.samples.append(Sample(at, state.queued, replicas, len(alive)))

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def _raylets(self) -> dict[int, float]:
        found = {}
        for process in self._server.tree.members():
            try:
                if process.name() == "raylet":
                    found[process.pid] = process.create_time() - self._began
            except psutil.Error:  # it has gone meanwhile
                continue
        head = min(found, key=lambda pid: found[pid], default=None)
        return {pid: at for pid, at in found.items() if pid != head}


@dataclass(frozen=True)
class Phase:
    """A time of the same load."""

    times: float
    rate: float
    began: float
    outcomes: list[Outcome]


class Growth:
    """The load, and what was seen of it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self.phases: list[Phase] = []
        self.samples: list[Sample] = []
        self.nodes: list[float] = []

    @property
    def step_at(self) -> float:
        """When the load grew."""
        return self.phases[1].began

    @property
    def crossed_at(self) -> float:
        """When what waited was first more than the one engine works off within the target."""
        each_s = self._options.lengths.answer * self._options.step_s / self._options.max_num_seqs
        late = (s.at for s in self.samples if s.at > self.step_at and s.queued * each_s > _TARGET_S)
        return next(late, float("nan"))

    @property
    def first_node_at(self) -> float:
        """When the first node after that was started."""
        return next((at for at in sorted(self.nodes) if at > self.step_at), float("nan"))

    def run(self, book: Notebook) -> None:
        """Raises StackFailed or ClientFailed."""
        options = self._options
        model, directory = notebook.model(options.model)
        simulated = {"gpu": "h200", "model": "llama-3.1-8b", "step_time": options.step_s}
        wanted = Wanted(
            model,
            directory,
            replicas=1,
            engine_args={
                "distributed_executor_backend": "bench.simulated.executor.SimulatedExecutor",
                "additional_config": {"simulated": simulated},
                "block_size": 16,
                "max_num_seqs": options.max_num_seqs,
                "gpu_memory_utilization": 0.9,
                **options.engine_args,
            },
            program=(
                *("serve_app.cluster_local", "--max-nodes", str(MAX_NODES)),
                *("--idle-timeout", str(options.idle_timeout)),
            ),
            autoscaling={"max_replicas": MAX_NODES, "hold_s": options.hold_s},
        )
        with book.logs() as logs, serving("sluice", wanted, logs) as server:
            began = time.time()
            observer = Observer(server, began)
            observer.start()
            try:
                self._load(server, model, began)
                self._shrink(observer)
            finally:
                observer.stop()
        self.samples, self.nodes = observer.samples, list(observer.nodes.values())

    def _load(self, server: Sluice, model: str, began: float) -> None:
        options, running = self._options, []
        for number, (times, seconds) in enumerate(zip((1, 6, 1), options.phases, strict=True)):
            say(f"  {times} x {options.rate:g} requests a second")
            traffic = Traffic(
                url=server.address,
                model=model,
                rate=times * options.rate,
                seconds=seconds,
                input_len=options.lengths.prompt,
                output_len=options.lengths.answer,
                seed=options.seed * 1000 + number,
            )
            at = time.time() - began
            running.append((times, traffic, at, Running(traffic)))
            time.sleep(seconds)
        self.phases = [
            Phase(times, traffic.rate, at, run.outcomes()) for times, traffic, at, run in running
        ]

    def _shrink(self, observer: Observer) -> None:
        say("  no load: nodes leave")
        deadline = time.monotonic() + _SHRUNK_WITHIN_S
        while time.monotonic() < deadline:
            if observer.samples and observer.samples[-1].nodes <= 1:
                return
            time.sleep(_SAMPLE_S)


def report(book: Notebook, options: argparse.Namespace, growth: Growth) -> int:
    """Print and store everything; returns the exit status."""
    outcomes = [one for phase in growth.phases for one in phase.outcomes]
    rows = [["load", "requests", "whole", "refused", "cut or lost", "TTFT p50 s", "p99"]]
    rows += map(_row, growth.phases)
    title = (
        f"== simulated engines, {options.max_num_seqs} sequences at {1000 * options.step_s:g} ms a "
        f"step; requests of {options.lengths}, {options.rate:g} a second and six times as many =="
    )
    most = max(growth.samples, key=lambda sample: (sample.nodes, sample.replicas))
    last = growth.samples[-1]
    sent = {
        "step_at": growth.step_at,
        "crossed_at": growth.crossed_at,
        "first_node_at": growth.first_node_at,
        "third_replica_at": next((s.at for s in growth.samples if s.replicas == MAX_NODES), None),
        "nodes_started": sorted(growth.nodes),
        "samples": [asdict(sample) for sample in growth.samples],
    }
    bars = [
        Bar("requests refused, cut or lost", sum(not one.whole for one in outcomes), most=0),
        Bar(
            "s from the queue's crossing of its target to the first node",
            growth.first_node_at - growth.crossed_at,
            most=_NODE_WITHIN_S,
        ),
        Bar("nodes at the most", most.nodes, least=MAX_NODES, most=MAX_NODES),
        Bar("replicas at the most", most.replicas, least=MAX_NODES, most=MAX_NODES),
        Bar("nodes in the end", last.nodes, most=1),
        Bar("replicas in the end", last.replicas, most=1),
    ]
    return book.end([f"{title}\n{table(rows)}"], bars, sent, picture(growth))


def picture(growth: Growth) -> Figure:
    """Queue, replicas and nodes over time."""
    drawn = Figure(figsize=(9, 6), layout="constrained")
    load, queue, count = drawn.subplots(3, 1, sharex=True, height_ratios=(1, 2, 2))
    at = [sample.at for sample in growth.samples]
    edges = [*(phase.began for phase in growth.phases), at[-1]]
    load.stairs([phase.rate for phase in growth.phases], edges, baseline=None)
    load.set_ylabel("requests/s")
    queue.plot(at, [sample.queued for sample in growth.samples])
    queue.axvline(growth.crossed_at, color="grey", linestyle=":")
    queue.set_ylabel("waiting requests")
    count.step(at, [sample.nodes for sample in growth.samples], where="post", label="GPU nodes")
    replicas = [sample.replicas for sample in growth.samples]
    count.step(at, replicas, where="post", label="replicas that work")
    count.set_ylabel("number")
    count.set_yticks(range(MAX_NODES + 1))
    count.set_xlabel("seconds; dotted: more waits than one replica works off within the target")
    count.legend()
    for axes in (load, queue, count):
        axes.grid(alpha=0.3)
        axes.set_ylim(bottom=0)
    return drawn


def _row(phase: Phase) -> list[str]:
    outcomes: Sequence[Outcome] = phase.outcomes
    ttft = Percentiles.of(one.ttft_s for one in outcomes if one.ttft_s is not None)
    counts: list[Any] = [
        len(outcomes),
        sum(one.whole for one in outcomes),
        sum(one.refused for one in outcomes),
        sum(one.lost for one in outcomes),
    ]
    return [f"{phase.times:g} x", *map(str, counts), figure(ttft.p50), figure(ttft.p99)]


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Ends the program where the options make no sense."""
    parser = notebook.parser("growth", __doc__, model="small", rounds=1)
    add = parser.add_argument
    add("--rate", type=float, default=4.5, help="requests a second, before they are six times more")
    add("--phases", type=notebook.numbers, default=(40, 90, 60), help="seconds of each load")
    add("--lengths", type=Lengths.parse, default=Lengths(16, 32), help="of a request, as in 16x32")
    add("--step-s", type=float, default=0.02, help="of each engine step")
    add("--max-num-seqs", type=int, default=8, help="sequences that an engine has at once")
    add("--hold-s", type=float, default=20, help="of the policy: before it lets replicas go")
    add("--idle-timeout", type=float, default=5, help="after which an idle node leaves")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Measure, report, and end with 1 when a bar is missed."""
    options = parse(argv)
    notebook.end_at_sigterm()
    book = Notebook("growth", options)
    growth = Growth(options)
    growth.run(book)
    sys.exit(report(book, options, growth))


if __name__ == "__main__":
    main()
