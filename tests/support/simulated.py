"""vLLM's AsyncLLM on a simulated GPU, in a process of its own; see `ask`.

Run as a program: the answers to a task on standard input, as JSON on the last line of its output.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from typing import Any

from deployments import default_model
from tests.support import models
from tests.support.server import ROOT

WORDS = 2048
"""Size of the served model's vocabulary."""


def run(rounds: list[list[dict[str, Any]]], **args: Any) -> "subprocess.CompletedProcess[str]":
    """Start an engine, put the requests of each round to it at once, and stop it.

    A request has `prompt` (token ids), and the rest of it are fields of `SamplingParams`.
    `simulated` among `args` is added to an H200 with Llama 3.1 8B whose steps take no time.
    """
    simulated = {
        "gpu": "h200",
        "model": "llama-3.1-8b",
        "step_time": 0,
        **args.pop("simulated", {}),
    }
    engine_args = {
        "model": str(default_model.ensure(models.SMALL)),
        "block_size": 16,
        "distributed_executor_backend": "bench.simulated.executor.SimulatedExecutor",
        "additional_config": {"simulated": simulated},
        **args,
    }
    return subprocess.run(
        [sys.executable, "-m", "tests.support.simulated"],
        input=json.dumps({"engine_args": engine_args, "rounds": rounds}),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def ask(rounds: list[list[dict[str, Any]]], **args: Any) -> dict[str, Any]:
    """`run`, which must succeed: `rounds` of answers, `preemptions` and `kv_cache_tokens`."""
    done = run(rounds, **args)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answers


async def main() -> None:
    """Read the task from standard input and print the answers."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM
    from vllm.v1.metrics.loggers import StatLoggerBase

    preemptions = 0

    class Preemptions(StatLoggerBase):  # type: ignore[misc]
        def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
            pass

        def record(self, _: Any, iteration_stats: Any, **__: Any) -> None:
            nonlocal preemptions
            if iteration_stats is not None:
                preemptions += iteration_stats.num_preempted_reqs

        def log_engine_initialized(self) -> None:
            pass

    task = json.load(sys.stdin)
    args = AsyncEngineArgs(**task["engine_args"])
    llm = AsyncLLM.from_engine_args(args, stat_loggers=[Preemptions])
    try:
        rounds = [
            await asyncio.gather(*(_answer(llm, f"{i}-{j}", each) for j, each in enumerate(round_)))
            for i, round_ in enumerate(task["rounds"])
        ]
        cache = llm.vllm_config.cache_config
        facts = {"kv_cache_tokens": cache.num_gpu_blocks * cache.block_size}
    finally:
        llm.shutdown()
    sys.stdout.write(json.dumps({"rounds": rounds, "preemptions": preemptions, **facts}) + "\n")


async def _answer(llm: Any, name: str, request: dict[str, Any]) -> dict[str, Any]:
    from vllm.sampling_params import SamplingParams, StructuredOutputsParams

    fields = dict(request)
    prompt = {"prompt_token_ids": fields.pop("prompt")}
    if "choice" in fields:
        fields["structured_outputs"] = StructuredOutputsParams(choice=fields.pop("choice"))
    began = time.monotonic()
    async for output in llm.generate(prompt, SamplingParams(**fields), name):
        last = output
    (completion,) = last.outputs
    return {
        "token_ids": list(completion.token_ids),
        "text": completion.text,
        "finish_reason": completion.finish_reason,
        "cached": last.num_cached_tokens,
        "seconds": time.monotonic() - began,
        "logprobs": _values(completion.logprobs),
        "prompt_logprobs": _values(last.prompt_logprobs),
    }


def _values(rows: Any) -> list[dict[int, float] | None] | None:
    if rows is None:
        return None
    return [row and {token: entry.logprob for token, entry in row.items()} for row in rows]


if __name__ == "__main__":
    asyncio.run(main())
