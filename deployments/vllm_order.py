"""In which order an engine takes in the prompts that wait in it.

With the other modules named vllm_*, all that touches vLLM; written against 0.32.0's v1 scheduler.

The router sends an engine the prompts of its next steps, and vLLM would take them as they came, in
steps that are as full as they may be: who asks for the first time would wait for all of them, and
then for a long step. A sequence that goes ahead is in the very next step, which takes in no other
prompt.

With vLLM's `priority` policy the lowest number goes first, and of those that run the highest one
gives way when the cache is full. The number is the time of arrival, which is vLLM's own order, and
what goes ahead came `AHEAD_S` earlier. So a prompt waits for those that come after it for no longer
than that, however many they are.
"""

import time
from typing import Any

from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.request import Request

AHEAD_S = 0.5


def priority(now: float, *, ahead: bool) -> int:
    """The `priority` of a sequence that comes now, in the seconds of `time.monotonic`."""
    return int(1000 * (now - AHEAD_S if ahead else now))


class Ordered:
    """What vLLM's schedulers lack: a step for those that go ahead."""

    running: list[Request]
    max_num_running_reqs: int
    max_num_active_reqs: int
    max_num_scheduled_tokens: int

    def schedule(self, *args: Any, **kwargs: Any) -> SchedulerOutput:
        """Plan a step; what goes ahead, or has waited for so long, has it for itself."""
        urgent = self._urgent()
        if not urgent:
            return super().schedule(*args, **kwargs)  # type: ignore[misc]
        first = urgent[0].priority
        held = [one for one in self.running if one.is_prefill_chunk and one.priority > first]
        self.running = [one for one in self.running if one not in held]
        most = self.max_num_scheduled_tokens
        self.max_num_scheduled_tokens = min(most, sum(map(_to_compute, self.running + urgent)))
        self._more_slots(-len(held))
        try:
            return super().schedule(*args, **kwargs)  # type: ignore[misc]
        finally:
            self.running += held
            self._more_slots(len(held))
            self.max_num_scheduled_tokens = most

    def _urgent(self) -> list[Request]:
        """Those that wait and came early enough by their numbers, the first of them first."""
        waiting = self.waiting  # type: ignore[attr-defined]
        came = priority(time.monotonic(), ahead=True)
        if not waiting or waiting.peek_request().priority > came:
            return []
        return [one for one in waiting if one.priority <= came]

    def _more_slots(self, count: int) -> None:
        self.max_num_running_reqs += count
        self.max_num_active_reqs += count


def _to_compute(request: Request) -> int:
    known: int = request.num_tokens_with_spec + request.num_output_placeholders
    computed: int = request.num_computed_tokens
    return max(1, known - computed)
