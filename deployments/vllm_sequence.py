"""One sequence on its way out of the engine: from the engine core's outputs to deltas.

With the other modules named vllm_*, all that touches vLLM; written against 0.32.0. It uses vLLM's
per-request `IncrementalDetokenizer` and `LogprobsProcessor`, and the scheduler's `check_stop`.
"""

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

from vllm.logprobs import Logprob as VllmLogprob
from vllm.v1.core.sched.utils import check_stop
from vllm.v1.engine import EngineCoreOutput, EngineCoreRequest, FinishReason
from vllm.v1.engine.detokenizer import IncrementalDetokenizer
from vllm.v1.engine.logprobs import LogprobsProcessor
from vllm.v1.request import Request

from deployments.messages import Delta, Logprob

_LOGPROB_CONTEXT = 4
"""So many tokens vLLM looks back on to decode a token of which one is a part of a character."""

_IMPOSSIBLE = "No text can have the form that the request asks for."


class End(NamedTuple):
    """Why a sequence ends, in vLLM's terms; both are None for one that goes on."""

    finish_reason: FinishReason | None
    stop_reason: int | str | None


def end_of(request: EngineCoreRequest, token_ids: list[int], max_model_len: int) -> End:
    """Why the engine core would have ended `request` behind the last of `token_ids`."""
    known = Request.from_engine_core_request(request, None)
    known.append_output_token_ids(token_ids)
    check_stop(known, max_model_len)
    return End(known.get_finished_reason(), known.stop_reason)


class Running:
    """What is needed of a sequence between its submission and its last delta."""

    __slots__ = (
        "_constrained",
        "_detokenizer",
        "_gathered",
        "_interval",
        "_logprobs",
        "_wanted",
        "id",
        "owner",
        "request_id",
    )

    def __init__(
        self,
        owner: Hashable,
        sequence_id: int,
        request: EngineCoreRequest,
        tokenizer: Any,
        stream_interval: int,
    ) -> None:
        self.owner = owner
        self.id = sequence_id
        self.request_id = request.request_id
        self._detokenizer = IncrementalDetokenizer.from_new_request(tokenizer, request)
        self._gathered: Delta | None = None
        self._wanted = 1  # tokens that make the next delta: the first token waits for no other
        self._interval = stream_interval
        params = request.sampling_params
        self._constrained = params.structured_outputs is not None
        self._logprobs = (
            None
            if params.num_logprobs is None and params.prompt_logprobs is None
            else LogprobsProcessor.from_new_request(tokenizer, request)
        )

    def take_over(self, emitted: list[int], end: End) -> Delta | None:
        """Go on behind `emitted`, whose text has been delivered but for what was held back.

        The last delta, if there is nothing to go on with: `end` says so, or a stop string is
        complete.
        """
        detokenizer = self._detokenizer
        finish_reason, stop_reason = end
        stop_string = None
        stops = finish_reason == FinishReason.STOP
        for token_ids, last in ((emitted[:-1], False), (emitted[-1:], stops)):
            if stop_string is None:
                stop_string = detokenizer.update(token_ids, last)
                detokenizer.get_next_output_text(False, True)
        if stop_string is not None:
            finish_reason, stop_reason = FinishReason.STOP, stop_string
        if finish_reason is not None:
            rest = detokenizer.get_next_output_text(True, True)
            return Delta(self.id, rest, [], str(finish_reason), stop_reason)
        if self._logprobs is not None and self._logprobs.logprobs is not None:
            context = emitted[-_LOGPROB_CONTEXT:]
            self._logprobs.logprobs.extend({token: VllmLogprob(0.0)} for token in context)
        return None

    def advance(self, output: EngineCoreOutput) -> Delta | None:
        """Take in one step's output; what is new, once it is enough to tell."""
        delta = self._delta(output)
        if self._gathered is not None:
            self._gathered.append(delta)
            delta, self._gathered = self._gathered, None
        if len(delta.token_ids) < self._wanted and delta.finish_reason is None:
            self._gathered = delta
            return None
        self._wanted = self._interval
        return delta

    def _delta(self, output: EngineCoreOutput) -> Delta:
        detokenizer = self._detokenizer
        token_ids = output.new_token_ids
        before = detokenizer.num_output_tokens()
        finish_reason, stop_reason = output.finish_reason, output.stop_reason
        stop_string = detokenizer.update(token_ids, finish_reason == FinishReason.STOP)
        if stop_string is not None:
            finish_reason, stop_reason = FinishReason.STOP, stop_string
            kept = detokenizer.num_output_tokens() - before
            if kept < len(token_ids):  # tokens that came after the stop string in the same step
                token_ids = token_ids[:kept]
        delta = Delta(
            self.id,
            detokenizer.get_next_output_text(finish_reason is not None, True),
            token_ids,
            None if finish_reason is None else str(finish_reason),
            stop_reason,
        )
        if finish_reason == FinishReason.ERROR and self._constrained:
            # It compiled, but no text satisfies it: a schema may refer to nothing but itself.
            delta.error, delta.bad_request = _IMPOSSIBLE, True
        elif finish_reason == FinishReason.ABORT:
            # What we abort says nothing any more: the engine core is being stopped.
            delta.finish_reason = str(FinishReason.ERROR)
        if output.prefill_stats is not None:
            delta.num_cached_tokens = output.prefill_stats.num_cached_tokens
        if self._logprobs is not None:
            _add_logprobs(self._logprobs, delta, output)
        return delta


def _add_logprobs(processor: LogprobsProcessor, delta: Delta, output: EngineCoreOutput) -> None:
    processor.update_from_output(output)
    if processor.logprobs is not None:
        count = len(delta.token_ids)
        rows = processor.logprobs[-len(output.new_token_ids) :][:count] if count else []
        delta.logprobs = [_candidates(row) for row in rows]
    if processor.prompt_logprobs is not None:
        prompt = processor.pop_prompt_logprobs()
        if prompt:
            delta.prompt_logprobs = [None if row is None else _candidates(row) for row in prompt]


def _candidates(row: Mapping[int, Any]) -> list[Logprob]:
    """One position's candidates. vLLM puts the chosen token first, then the others by rank."""
    return [
        Logprob(token_id, entry.logprob, entry.decoded_token or "", entry.rank or 0)
        for token_id, entry in row.items()
    ]
