"""What we correct of vLLM's CPU engine. Written against 0.32.0; engine_args.py names it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import vllm.kernels  # noqa: F401  (declares the operators below)
from torch import Tensor
from vllm import ir
from vllm.v1.worker.cpu_worker import CPUWorker

from deployments import vllm_cpu_lora  # noqa: F401  (puts its operators in their place)
from deployments.engine_args import CPU_NORM_PROVIDER

_VECTOR_ELEMENTS = 16  # the CPU kernels work in vectors of 8 (bfloat16) or 16 (float32)


class CpuWorker(CPUWorker):  # type: ignore[misc]
    """Asks for AMX before its first step.

    The kernel kills a process that uses AMX without having asked for it. vLLM asks only by way of
    oneDNN's larger products, and for a short first prompt its attention kernel comes before one.

    Goes before the serving processes where they share its cores.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stage_s: dict[str, float] = {}
        """How long stages of its start took."""

    def init_device(self) -> None:
        torch.cpu._init_amx()
        if os.sched_getscheduler(0) == os.SCHED_BATCH:  # what serves yields to it (launch.py)
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        super().init_device()

    def load_model(self, **kwargs: Any) -> None:
        with self._timed("weights"):
            super().load_model(**kwargs)

    def determine_available_memory(self) -> Any:  # which compiles
        with self._timed("warm-up"):
            return super().determine_available_memory()

    def compile_or_warm_up_model(self) -> Any:
        with self._timed("warm-up"):
            return super().compile_or_warm_up_model()

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        took = time.monotonic() - began
        self.stage_s[stage] = self.stage_s.get(stage, 0.0) + took


def _kernel_takes(x: Tensor, weight: Tensor | None, variance_size: int | None) -> bool:
    return (
        variance_size is None
        and weight is not None
        and weight.dtype == x.dtype
        and x.shape[-1] % _VECTOR_ELEMENTS == 0
        and x.is_contiguous()
    )


@ir.ops.rms_norm.register_impl(  # type: ignore[untyped-decorator]
    CPU_NORM_PROVIDER,
    supports_args=lambda x, weight, epsilon, variance_size=None: _kernel_takes(
        x, weight, variance_size
    ),
)
def _rms_norm(
    x: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None
) -> Tensor:
    output = torch.empty_like(x)
    torch.ops._C.rms_norm(output, x, weight, epsilon)
    return output


@ir.ops.fused_add_rms_norm.register_impl(  # type: ignore[untyped-decorator]
    CPU_NORM_PROVIDER,
    supports_args=lambda x, x_residual, weight, epsilon, variance_size=None: (
        _kernel_takes(x, weight, variance_size) and x_residual.is_contiguous()
    ),
    inplace=True,
)
def _fused_add_rms_norm(
    x: Tensor,
    x_residual: Tensor,
    weight: Tensor | None,
    epsilon: float,
    variance_size: int | None = None,
) -> tuple[Tensor, Tensor]:
    torch.ops._C.fused_add_rms_norm(x, x_residual, weight, epsilon)
    return x, x_residual
