"""vLLM's CPU worker with one correction. Written against vLLM 0.32.0; named in engine_args.py."""

import torch
from vllm.v1.worker.cpu_worker import CPUWorker


class CpuWorker(CPUWorker):  # type: ignore[misc]
    """Asks for AMX before its first step.

    The kernel kills a process that uses AMX without having asked for it. vLLM asks only by way of
    oneDNN's larger products, and for a short first prompt its attention kernel comes before one.
    """

    def init_device(self) -> None:
        torch.cpu._init_amx()
        super().init_device()
