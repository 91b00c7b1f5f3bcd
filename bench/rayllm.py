"""Serves one model with ray.serve.llm until SIGTERM: `python -m bench.rayllm JSON`.

Runs in the peers' environment. What makes it fast or slow is in the process environment, which
Ray and Serve read when they are imported.
"""

import contextlib
import importlib.metadata
import json
import os
import signal
import sys
from typing import Any

import ray
from ray import serve
from ray.serve.llm import LLMConfig, build_openai_app

KEEP_EXECUTOR = "bench.simulated.rayllm.KeepExecutor"
"""Else ray.serve.llm would replace the simulated executor on a CPU, without a word."""
_RESERVED_CPUS = 3  # by the engine's replica, its bundle and the router; Ray counts, no more


def _config(given: dict[str, Any]) -> LLMConfig:
    on_cpu = "+cpu" in importlib.metadata.version("vllm")
    return LLMConfig(
        model_loading_config={"model_id": given["model"], "model_source": given["source"]},
        engine_kwargs=given["engine_args"],
        placement_group_config={"bundles": [{"CPU": 1}]} if on_cpu else None,
        callback_config={"callback_class": KEEP_EXECUTOR} if _is_simulated(given) else {},
    )


def _is_simulated(given: dict[str, Any]) -> bool:
    return "simulated" in given["engine_args"].get("additional_config", {})


def _end(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once
    sys.exit(0)


def main() -> None:
    given = json.loads(sys.argv[1])
    signal.signal(signal.SIGTERM, _end)
    with contextlib.ExitStack() as stack:
        stack.callback(ray.shutdown)
        ray.init(
            address="local",
            num_cpus=max(_RESERVED_CPUS + 1, os.cpu_count() or 1),
            include_dashboard=False,
            _temp_dir=given["temp_dir"],
        )
        stack.callback(serve.shutdown)
        serve.start(http_options={"host": given["host"], "port": given["port"]})
        serve.run(build_openai_app({"llm_configs": [_config(given)]}))
        signal.pause()


if __name__ == "__main__":
    main()
