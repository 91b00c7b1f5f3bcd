"""vLLM's AsyncLLM driven in its own process, without HTTP: `python -m bench.alone ENGINE_ARGS`.

For each line on stdin, a `Load` as JSON, it runs that load and prints its `LoadResult` as one line
on stdout. The client's CPU is then that of this process, which also detokenizes.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import count
from typing import Any, TextIO

import uvloop
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.inputs import TokensPrompt
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.usage.usage_lib import UsageContext
from vllm.v1.engine.async_llm import AsyncLLM

from bench.client import Load, LoadResult, Tally, closed_loop, prompts
from bench.stats import to_json


class Engine:
    """One engine and the loads on it."""

    def __init__(self, engine_args: dict[str, Any]) -> None:
        config = AsyncEngineArgs(**engine_args).create_engine_config(UsageContext.OPENAI_API_SERVER)
        self._llm = AsyncLLM.from_vllm_config(config, disable_log_stats=True)
        self._numbers = count()

    async def run(self, load: Load) -> LoadResult:
        """Run `load` to its end."""
        params = SamplingParams(
            temperature=0,
            max_tokens=load.output_len,
            ignore_eos=True,
            output_kind=RequestOutputKind.DELTA if load.stream else RequestOutputKind.FINAL_ONLY,
        )
        waiting = iter([TokensPrompt(prompt_token_ids=ids) for ids in prompts(load)])
        return await closed_loop(load, lambda tally: self._work(load, params, waiting, tally))

    def shutdown(self) -> None:
        """Stop the engine core."""
        self._llm.shutdown(timeout=5)

    async def _work(self, load: Load, params: Any, waiting: Iterator[Any], tally: Tally) -> None:
        for prompt in waiting:
            sent_at, tokens, arrivals = time.perf_counter(), 0, []
            try:
                async with asyncio.timeout(load.request_timeout_s):
                    number = str(next(self._numbers))
                    async for output in self._llm.generate(prompt, params, number):
                        arrivals.append(time.perf_counter())
                        tokens += len(output.outputs[0].token_ids)
            except Exception as exc:  # whatever it is, it is this request's
                tally.fail(f"{type(exc).__name__}: {exc}")
            else:
                tally.add(tokens, len(arrivals), sent_at, time.perf_counter(), arrivals)


def _own_stdout() -> TextIO:
    """Stdout for the answers only; what anything else prints goes to stderr."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def main() -> None:
    answers = _own_stdout()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    engine = Engine(json.loads(sys.argv[1]))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            for line in sys.stdin:
                result = runner.run(engine.run(Load(**json.loads(line))))
                print(to_json(asdict(result)), file=answers, flush=True)
    finally:
        engine.shutdown()


if __name__ == "__main__":
    main()
