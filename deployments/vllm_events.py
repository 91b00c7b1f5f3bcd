"""When traced sequences are scheduled and preempted, as the engine core notes it.

With the other modules named vllm_*, all that touches vLLM; written against 0.32.0's v1 engine core.
vLLM notes it of all requests where it keeps statistics, which cost every step, and we have it keep
none. Here it is noted of requests with `trace_headers`, and goes out with their next tokens.
"""

from typing import Any

from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.engine import EngineCoreEventType
from vllm.v1.request import Request


class Noting:
    """What vLLM's schedulers lack for that."""

    def add_request(self, request: Request) -> None:
        request.is_traced = request.trace_headers is not None
        # They have done their part; vLLM would send them back with each token.
        request.trace_headers = None
        super().add_request(request)  # type: ignore[misc]

    def _update_after_schedule(self, scheduler_output: SchedulerOutput) -> None:
        super()._update_after_schedule(scheduler_output)  # type: ignore[misc]
        for new in scheduler_output.scheduled_new_reqs:
            self._note_scheduled(new.req_id)
        for name in scheduler_output.scheduled_cached_reqs.resumed_req_ids:
            self._note_scheduled(name)

    def _note_scheduled(self, name: str) -> None:
        request = self.requests[name]  # type: ignore[attr-defined]
        if request.is_traced:
            request.record_event(EngineCoreEventType.SCHEDULED)

    def _preempt_request(self, request: Request, timestamp: float, *args: Any, **kw: Any) -> None:
        super()._preempt_request(request, timestamp, *args, **kw)  # type: ignore[misc]
        if request.is_traced:
            request.record_event(EngineCoreEventType.PREEMPTED, timestamp)
