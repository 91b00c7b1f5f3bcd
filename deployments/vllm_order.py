"""In which order an engine takes in the prompts that wait in it.

With the other modules named vllm_*, all that touches vLLM; written against 0.32.0's v1 scheduler.

The router sends an engine the prompts of its next steps, and vLLM would take them as they came, in
steps that are as full as they may be: who asks now and then beside a flood would wait for all of
them, and then for a long step. A sequence that goes ahead is in the very next step, which takes in
no other prompt; those that generate and do not go ahead sit that step out, but never two in a row.
Before that it has to wait for the step under way, so steps are kept short for a while after it, and
after prompts of which the router says that somebody else asks now and then.

With vLLM's `priority` policy the lowest number goes first, and of those that run the highest one
gives way when the cache is full. The number is the time of arrival, which is vLLM's own order, and
what goes ahead came `AHEAD_S` earlier. So a prompt waits for those that come after it for no longer
than that, however many they are.
"""

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vllm.config import SchedulerConfig
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.core.sched.request_queue import RequestQueue
    from vllm.v1.request import Request

AHEAD_S = 0.5
PATIENCE_S = 0.5
"""For so long others' prompts wait for one that goes ahead and cannot start: there is no place in
the cache for it, or for its adapter."""
SHORT_FOR_S = 10.0
"""For so long after one that went ahead, or yields, the steps are short."""
SHORT_SHARE = 4
"""Beside those that generate, a short step takes in no more than one in so many of the tokens of a
full one: all of these while nobody generates, and less the more slots are taken by who does."""
PROMPT_SHARE = 16
"""But one in so many for each prompt under way: in a full engine, one that comes now and then is
spread over several steps, where all of it would double one of them."""

_READY = frozenset({"WAITING", "PREEMPTED"})


def priority(now: float, *, ahead: bool = False, yields: bool = False) -> int:
    """The `priority` of a sequence that comes now, in the seconds of `time.monotonic`.

    Quarter milliseconds: the last bits tell who goes ahead, and beside whom steps are short.
    """
    return _number(now - AHEAD_S) if ahead else _number(now) + (3 if yields else 1)


def goes_ahead(number: int) -> bool:
    """Whether that is the `priority` of a sequence that goes ahead."""
    return number % 2 == 0


def yields(number: int) -> bool:
    """Whether that is the `priority` of a sequence beside which steps are short."""
    return number % 4 == 3


class Ordered:
    """What vLLM's schedulers lack: steps for those that go ahead."""

    running: "list[Request]"
    waiting: "RequestQueue"
    max_num_running_reqs: int
    max_num_active_reqs: int
    max_num_scheduled_tokens: int
    scheduler_config: "SchedulerConfig"
    need_mamba_block_aligned_split: bool
    now = staticmethod(time.monotonic)
    _short_until = 0.0
    _sat_out = False
    """Whether some that generate were not in the step before this one."""

    def add_request(self, request: "Request") -> None:
        """Take in a sequence that waits for its step."""
        if yields(request.priority):
            self._short_until = self.now() + SHORT_FOR_S
        super().add_request(request)  # type: ignore[misc]

    def schedule(self, *args: Any, **kwargs: Any) -> "SchedulerOutput":
        """Plan a step."""
        now = self.now()
        urgent = self._urgent(now)
        sat_out, self._sat_out = self._sat_out, False
        if urgent:
            self._short_until = now + SHORT_FOR_S
        elif now >= self._short_until or not self._may_be_short:
            return super().schedule(*args, **kwargs)  # type: ignore[misc]
        sitting: list[Request] = []
        held: list[Request] = []
        most = self.max_num_scheduled_tokens
        if urgent:
            first = urgent[0].priority
            on: list[Request] = []
            for one in self.running:
                if one.is_prefill_chunk:
                    (held if one.priority > first else on).append(one)
                else:
                    (on if sat_out or goes_ahead(one.priority) else sitting).append(one)
            self._sat_out = bool(sitting)
            self.running = on
            wanted = sum(map(_to_compute, self.running + urgent))
        else:
            wanted = self._short()
        self.max_num_scheduled_tokens = min(most, wanted)
        self._more_slots(-len(sitting) - len(held))
        try:
            return super().schedule(*args, **kwargs)  # type: ignore[misc]
        finally:
            # The first in the list take of a step what they want: who generates, then prompts.
            self.running = sitting + self.running + held
            self._more_slots(len(sitting) + len(held))
            self.max_num_scheduled_tokens = most

    def _short(self) -> int:
        """The tokens of a short step."""
        most = self.max_num_scheduled_tokens
        generate = [one for one in self.running if not one.is_prefill_chunk]
        free = self.max_num_running_reqs - len(self.running)
        prompts = len(self.running) - len(generate) + min(free, len(self.waiting))
        limit, slots = most // SHORT_SHARE, self.max_num_running_reqs
        taken_in = max(prompts * most // PROMPT_SHARE, limit * (slots - len(generate)) // slots)
        return sum(map(_to_compute, generate)) + min(limit, taken_in)

    @property
    def _may_be_short(self) -> bool:
        """Whether a short step takes in all that it should: not a long prompt that goes ahead
        itself, and where prompts may not be cut anywhere, some might never fit."""
        chunked = self.scheduler_config.enable_chunked_prefill
        if not chunked or self.need_mamba_block_aligned_split:
            return False
        return not any(one.is_prefill_chunk and goes_ahead(one.priority) for one in self.running)

    def _urgent(self, now: float) -> "list[Request]":
        """Those that wait and came early enough by their numbers, if one goes ahead of the rest.

        Not those whose grammar is being compiled: others need not wait for that. Nor once the first
        has waited for long: it lacks what others have, and they must get on to let go of it.
        """
        waiting = self.waiting
        if not waiting or not goes_ahead(waiting.peek_request().priority):
            return []
        came = priority(now, ahead=True)
        early = [one for one in waiting if one.priority <= came and one.status.name in _READY]
        if not early or not goes_ahead(early[0].priority):
            return []
        return early if came - early[0].priority <= _number(PATIENCE_S) else []

    def _more_slots(self, count: int) -> None:
        self.max_num_running_reqs += count
        self.max_num_active_reqs += count


def _number(seconds: float) -> int:
    return 4 * int(1000 * seconds)


def _to_compute(request: "Request") -> int:
    known: int = request.num_tokens_with_spec + request.num_output_placeholders
    computed: int = request.num_computed_tokens
    return max(1, known - computed)
