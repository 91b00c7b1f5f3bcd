"""The models that integration tests serve, and what vLLM itself makes of the same prompts."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from deployments import default_model
from tests.support.server import ROOT

ENGINE_ARGS: dict[str, Any] = {
    "enforce_eager": True,
    # Float32, so that the make-up of a batch does not flip an argmax.
    "dtype": "float32",
    "max_model_len": 512,
    "kv_cache_memory_bytes": 256 * 1024 * 1024,
}
SMALL, LARGE = "sluice-small", "sluice-90m"
EMBEDDER, CROSS_ENCODER, CLASSIFIER = "minilm", "tiny-cross-encoder", "tiny-classifier"
POOLING = EMBEDDER, CROSS_ENCODER, CLASSIFIER
"""They are served beside the others; tests.support.pooling has them."""
CONFIG: dict[str, Any] = {
    "models": [
        {
            "name": name,
            "source": default_model.PREFIX + name,
            "engine_args": ENGINE_ARGS,
            "cpu_threads": 1,
            "drain_timeout_s": 2,
        }
        for name in (SMALL, LARGE)
    ]
}


def prompts(count: int, seed: int = 0) -> list[list[int]]:
    """Random prompts of 1 to 64 token ids; ids from 6 on are no special tokens."""
    choose = random.Random(seed)
    return [
        [choose.randrange(6, 2048) for _ in range(choose.randrange(1, 65))] for _ in range(count)
    ]


def reference(model: str, token_ids: list[list[int]], max_tokens: int) -> list[list[int]]:
    """Greedy token ids of vLLM's own `LLM.generate`, in a process of its own."""
    program = Path(__file__).with_name("reference.py")
    task = {
        "model": str(default_model.ensure(model)),
        "engine_args": ENGINE_ARGS,
        "prompts": token_ids,
        "max_tokens": max_tokens,
    }
    done = subprocess.run(
        [sys.executable, str(program)],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "2", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    outputs: list[list[int]] = json.loads(done.stdout.splitlines()[-1])
    return outputs
