"""How often the make-up of a batch changes a greedy token: Sluice beside `LLM.generate`.

In float32 it should never; in bfloat16 two nearly equal logits may change places. Each prompt is
compared up to its first difference, after which the two answers are of different prompts.

    python -m bench.flips --model small --dtype bfloat16
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.stacks import ROOT, Setup, running
from deployments import default_model

_MODELS = {"small": "sluice-small", "90m": "sluice-90m"}
_REFERENCE = """
import json, sys
from vllm import LLM, SamplingParams
task = json.load(sys.stdin)
llm = LLM(model=task["model"], **task["engine_args"])
params = SamplingParams(temperature=0, max_tokens=task["max_tokens"], ignore_eos=True)
prompts = [{"prompt_token_ids": prompt} for prompt in task["prompts"]]
# One at a time: a batch of its own for each.
for prompt in prompts:
    (answer,) = llm.generate(prompt, params, use_tqdm=False)
    print("IDS", json.dumps(list(answer.outputs[0].token_ids)))
"""


def alone(directory: Path, engine_args: dict[str, Any], prompts: Any, length: int) -> Any:
    """What vLLM generates for each prompt by itself."""
    task = {
        "model": str(directory),
        "engine_args": engine_args,
        "prompts": prompts,
        "max_tokens": length,
    }
    done = subprocess.run(
        # A short first prompt would kill it: see deployments/vllm_cpu.py.
        [sys.executable, "-c", "import torch; torch.cpu._init_amx()" + _REFERENCE],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": "2"},
    )
    return [json.loads(line[4:]) for line in done.stdout.splitlines() if line.startswith("IDS ")]


def together(url: str, model: str, prompts: Any, length: int, at_once: int) -> Any:
    """What Sluice generates for the same prompts, many at once."""

    def ask(prompt: list[int]) -> Any:
        body = {
            "model": model,
            "prompt": prompt,
            "max_tokens": length,
            "temperature": 0,
            "ignore_eos": True,
            "return_token_ids": True,
        }
        request = urllib.request.Request(
            f"{url}/v1/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=300) as response:
            return json.load(response)["choices"][0]["token_ids"]

    with ThreadPoolExecutor(at_once) as threads:
        return list(threads.map(ask, prompts))


def main() -> None:
    """Print both shares and one JSON line last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=_MODELS, default="small")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--length", type=int, default=24)
    parser.add_argument("--at-once", type=int, default=32)
    args = parser.parse_args()
    name = _MODELS[args.model]
    directory = default_model.ensure(name)
    engine_args = {
        "enforce_eager": True,
        "max_model_len": 512,
        "dtype": args.dtype,
        "kv_cache_memory_bytes": 1 << 28,
    }
    choose = random.Random(0)
    prompts = [
        [choose.randrange(6, 2048) for _ in range(choose.randrange(1, 65))]
        for _ in range(args.prompts)
    ]
    expected = alone(directory, engine_args, prompts, args.length)
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(name, directory, engine_args)
        with running("sluice", setup, Path(folder)) as server:
            assert server.url is not None
            got = together(server.url, name, prompts, args.length, args.at_once)
    compared = flipped = 0
    for one, other in zip(expected, got, strict=True):
        same = next((i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), None)
        compared += args.length if same is None else same + 1
        flipped += same is not None
    print(
        f"prompts that differ: {flipped} of {len(prompts)}; tokens that flip: {flipped}/{compared}"
    )
    print(json.dumps({**vars(args), "flipped": flipped, "tokens_compared": compared}))


if __name__ == "__main__":
    main()
