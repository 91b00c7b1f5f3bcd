import json
from dataclasses import replace
from pathlib import Path

from bench.stats import Percentiles
from bench.yardstick import Yardstick, command, parse
from tests.unit.bench_runs import CELL, PLAN

SAVED = {
    "backend": "openai",
    "num_prompts": 10,
    "completed": 9,
    "failed": 1,
    "request_throughput": 3.0,
    "output_throughput": 192.0,
    "mean_ttft_ms": 8.0,
    "p50_ttft_ms": 7.0,
    "p99_ttft_ms": 20.0,
    "p50_itl_ms": 1.5,
    "p99_itl_ms": 4.5,
}


def test_what_vllm_saves_is_read() -> None:
    assert parse(json.dumps(SAVED), "a", CELL, 2) == Yardstick(
        stack="a",
        cell=CELL,
        round=2,
        requests=9,
        failed=1,
        output_tok_s=192.0,
        req_s=3.0,
        ttft_ms=Percentiles(7.0, 20.0),
        itl_ms=Percentiles(1.5, 4.5),
    )


def test_vllm_is_asked_for_the_same_load(tmp_path: Path) -> None:
    load = replace(PLAN.load(CELL, 0), url="http://127.0.0.1:1")
    words = command("python", load, tmp_path / "tokenizer", tmp_path)
    given = dict(zip(words[5::2], words[6::2], strict=False))
    assert words[:5] == ["python", "-m", "vllm.entrypoints.cli.main", "bench", "serve"]
    assert given["--base-url"] == "http://127.0.0.1:1"
    assert given["--model"] == "small"
    assert given["--tokenizer"] == str(tmp_path / "tokenizer")
    assert given["--num-prompts"] == "448"
    assert given["--max-concurrency"] == "64"
    assert (given["--random-input-len"], given["--random-output-len"]) == ("64", "64")
    assert "--ignore-eos" in words
