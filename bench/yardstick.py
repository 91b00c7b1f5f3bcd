"""`vllm bench serve` at a running stack: somebody else's client as the yardstick for ours."""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench import peers
from bench.client import Load
from bench.plan import Cell
from bench.stacks import ROOT
from bench.stats import Percentiles

_IMPORTS_S = 120.0  # before the load starts
_FILE = "yardstick.json"


class YardstickFailed(Exception):
    """It brought no result; the message ends with what it said."""


@dataclass(frozen=True)
class Yardstick:
    """What `vllm bench serve` found. Latencies in milliseconds."""

    stack: str
    cell: Cell
    round: int
    requests: int
    failed: int
    output_tok_s: float
    req_s: float
    ttft_ms: Percentiles
    itl_ms: Percentiles


def hold(stack: str, cell: Cell, number: int, load: Load, tokenizer: Path) -> Yardstick:
    """Hold the yardstick to the stack at `load.url`. Raises YardstickFailed or PeersFailed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        try:
            done = subprocess.run(
                command(str(peers.ensure()), load, tokenizer, Path(scratch)),
                cwd=ROOT,
                env={**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"},
                capture_output=True,
                text=True,
                timeout=load.timeout_s + _IMPORTS_S,
            )
        except subprocess.TimeoutExpired as exc:
            raise YardstickFailed("vllm bench serve did not end") from exc
        result = Path(scratch) / _FILE
        if done.returncode != 0 or not result.is_file():
            raise YardstickFailed(f"vllm bench serve: {done.stderr.strip()[-500:]}")
        return parse(result.read_text(), stack, cell, number)


def command(python: str, load: Load, tokenizer: Path, directory: Path) -> list[str]:
    """What runs `load`, with prompts of its own making, and leaves its result in `directory`."""
    words = [python, "-m", "vllm.entrypoints.cli.main", "bench", "serve"]
    options = {
        "backend": "openai",
        "base-url": load.url,
        "endpoint": "/v1/completions",
        "model": load.model,
        "tokenizer": str(tokenizer),
        "dataset-name": "random",
        "random-input-len": load.input_len,
        "random-output-len": load.output_len,
        "num-prompts": load.num_requests,
        "max-concurrency": load.concurrency,
        "seed": load.seed,
        "temperature": 0,
        "percentile-metrics": "ttft,itl",
        "metric-percentiles": "50,99",
        "result-dir": str(directory),
        "result-filename": _FILE,
    }
    for name, value in options.items():
        words += [f"--{name}", str(value)]
    return [*words, "--ignore-eos", "--disable-tqdm", "--save-result"]


def parse(text: str, stack: str, cell: Cell, number: int) -> Yardstick:
    """The file that `--save-result` makes."""
    found = json.loads(text)
    return Yardstick(
        stack=stack,
        cell=cell,
        round=number,
        requests=found["completed"],
        failed=found["failed"],
        output_tok_s=found["output_throughput"],
        req_s=found["request_throughput"],
        ttft_ms=Percentiles(found["p50_ttft_ms"], found["p99_ttft_ms"]),
        itl_ms=Percentiles(found["p50_itl_ms"], found["p99_itl_ms"]),
    )
