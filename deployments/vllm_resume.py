"""The scheduler of an engine that goes on with what another engine began.

With the other modules named vllm_*, all that touches vLLM; written against 0.32.0's v1 engine core.

The tokens that another engine has emitted are given to vLLM's scheduler as output tokens of a
request that is still waiting, as a preempted request has them. All that vLLM counts in output
tokens is then right by itself: `max_tokens`, `min_tokens`, stop checks, penalties. What it computes
first is the prompt and those tokens, in pieces where they are long, or from its prefix cache.

They come in `SamplingParams.extra_args`, which reaches the engine core and every worker
(vllm_worker.py has their end of it; vLLM's newer model runner needs none).
"""

from typing import Any

from vllm.sampling_params import SamplingParams
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.diffusion_scheduler import DiffusionAsyncScheduler, DiffusionScheduler
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.metrics.stats import PrefillStats
from vllm.v1.request import Request, RequestStatus

from deployments.vllm_events import Noting
from deployments.vllm_order import Ordered

EMITTED = "sluice_emitted_token_ids"
"""The key in `SamplingParams.extra_args`."""


def emitted_token_ids(params: SamplingParams | None) -> list[int]:
    """What another engine has emitted of a sequence; empty for one that begins here."""
    if params is None or params.extra_args is None:
        return []
    token_ids: list[int] = params.extra_args.get(EMITTED, [])
    return token_ids


class _Resuming:
    """What both of vLLM's schedulers lack."""

    def add_request(self, request: Request) -> None:
        emitted = emitted_token_ids(request.sampling_params)
        if emitted:
            request.append_output_token_ids(emitted)
            # While there are any, vLLM asserts that a request which was never preempted finds no
            # more than its prompt in the prefix cache; `_count_cached` makes them up.
            request.prefill_stats = None
        super().add_request(request)  # type: ignore[misc]

    def _update_after_schedule(self, scheduler_output: SchedulerOutput) -> None:
        super()._update_after_schedule(scheduler_output)  # type: ignore[misc]
        for new in scheduler_output.scheduled_new_reqs:
            if emitted_token_ids(new.sampling_params):
                _count_cached(self.requests[new.req_id], new.num_computed_tokens)  # type: ignore[attr-defined]

    def _handle_blocked_waiting_request(self, request: Request) -> bool:
        """Whether a waiting request can be scheduled; its grammar is first brought up to date."""
        waited = request.status == RequestStatus.WAITING_FOR_STRUCTURED_OUTPUT_GRAMMAR
        if not super()._handle_blocked_waiting_request(request):  # type: ignore[misc]
            return False
        if waited and request.num_output_tokens:
            # Not in the thread that compiles it: where a reasoning parser is configured, which
            # tokens the grammar counts depends on all before them.
            manager = self.structured_output_manager  # type: ignore[attr-defined]
            if not manager.accept_tokens(request, list(request.output_token_ids)):
                self._refuse(request)
                return False
        return True

    def _refuse(self, request: Request) -> None:
        """End a request as vLLM ends one whose grammar does not compile."""
        request.status = RequestStatus.WAITING_FOR_STRUCTURED_OUTPUT_GRAMMAR
        structured = request.structured_output_request
        structured.grammar = ValueError("the grammar does not accept what has been emitted")
        super()._handle_blocked_waiting_request(request)  # type: ignore[misc]


def _count_cached(request: Request, num_computed_tokens: int) -> None:
    """Tell once, as vLLM does of every request, how much of the prompt was cached."""
    if request.prefill_stats is None and not request.num_preemptions:
        request.prefill_stats = stats = PrefillStats()
        cached = min(num_computed_tokens, request.num_prompt_tokens)
        stats.set(request.num_prompt_tokens, cached, 0)


class ResumingScheduler(_Resuming, Ordered, Noting, Scheduler):  # type: ignore[misc]
    """Plans a step when the one before it has ended."""


class ResumingAsyncScheduler(_Resuming, Ordered, Noting, AsyncScheduler):  # type: ignore[misc]
    """Plans a step while the one before it runs."""


def scheduler(**kwargs: Any) -> Scheduler:
    """What stands for the scheduler's class in `scheduler_cls`.

    Asked in the engine core, where it is certain whether vLLM schedules asynchronously. A diffusion
    model has its own schedulers, and takes over nothing.
    """
    config = kwargs["vllm_config"]
    if config.diffusion_config is not None:
        kinds = DiffusionScheduler, DiffusionAsyncScheduler
    else:
        kinds = ResumingScheduler, ResumingAsyncScheduler
    return kinds[bool(config.scheduler_config.async_scheduling)](**kwargs)
