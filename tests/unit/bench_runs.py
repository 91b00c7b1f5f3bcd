"""Made-up comparisons."""

import math
from collections.abc import Iterable
from dataclasses import replace

from bench.client import LoadResult
from bench.measure import Run
from bench.plan import STREAM, Cell, Lengths, Plan
from bench.stats import Percentiles
from bench.store import Record
from bench.yardstick import Yardstick

NOTHING = Percentiles(math.nan, math.nan)
RESULT = LoadResult(
    requests=10,
    errors={},
    output_tokens=1000,
    events=1000,
    arrivals=1000,
    seconds=1.0,
    output_tok_s=1000.0,
    req_s=10.0,
    ttft_ms=Percentiles(5.0, 9.0),
    itl_ms=Percentiles(1.0, 2.0),
    e2e_ms=Percentiles(50.0, 90.0),
    client_cpu_s=0.1,
    client_cpu_share=0.1,
)
SHORT = Lengths.parse("short")
CELL = Cell("small", SHORT, 64, True)
PLAN = Plan(
    label="test",
    stacks=("a", "b"),
    models=("small",),
    lengths=(SHORT,),
    concurrency=(64,),
    modes=(STREAM,),
    rounds=2,
    seed=0,
    vocab=2048,
    seconds=6.0,
    expected_tok_s=None,
    num_requests=None,
    warm_up_requests=64,
    engine_args={"enforce_eager": True},
    environment={},
    start_timeout_s=300.0,
    yardstick=False,
)
CIRCUMSTANCES = {"commit": "c0ffee", "date": "2026-11-24T00:00:00+00:00", "machine": "a computer"}


def run(stack: str, number: int, tok_s: float, cell: Cell = CELL, **load: object) -> Run:
    """One round; 300 of its 800 us per token are serving."""
    cpu_s = {"api": 0.2, "raylet": 0.1, "VLLM::EngineCore": 0.5}
    result = replace(RESULT, output_tok_s=tok_s, **load)  # type: ignore[arg-type]
    return Run(stack, cell, number, result, cpu_s, 2**20, 0.0)


def yardstick(stack: str, number: int, tok_s: float) -> Yardstick:
    """What somebody else's client found in the same round."""
    latency = Percentiles(6.0, 10.0)
    return Yardstick(stack, CELL, number, 10, 0, tok_s, 10.0, latency, latency)


def record(runs: Iterable[Run], plan: Plan = PLAN) -> Record:
    return Record([CIRCUMSTANCES], plan, list(runs))
