"""The engine seam: with vllm_cpu.py all that touches vLLM. Written against 0.32.0's v1 engine.

It uses these internals, which a new version may move: `AsyncLLM._run_output_handler` (replaced,
so that a step is handled once and not once per request), `AsyncLLM.input_processor`,
`EngineCoreClient.get_output_async / add_request_async / abort_requests_async`, and the
per-request `IncrementalDetokenizer` and `LogprobsProcessor`.
"""

import asyncio
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import msgspec
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.exceptions import VLLMClientError
from vllm.inputs.engine import tokens_input
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.tokenizers import TokenizerLike
from vllm.usage.usage_lib import UsageContext
from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs, EngineCoreRequest, FinishReason
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.detokenizer import IncrementalDetokenizer
from vllm.v1.engine.logprobs import LogprobsProcessor
from vllm.v1.executor import Executor
from vllm.v1.metrics.loggers import StatLoggerBase

from deployments.errors import BadRequest
from deployments.messages import Delta, Load, Logprob, Sampling, Sequence

Batches = dict[Hashable, list[Delta]]
"""The deltas of one step by the owner that submitted their sequences."""

_USAGE = UsageContext.OPENAI_API_SERVER
"""vLLM sizes batches by it: a server's are larger than those of an engine of unknown use."""
_STEP_TIME_WEIGHT = 0.1  # of the newest step in the moving average


class _Silent(StatLoggerBase):  # type: ignore[misc]
    """Makes the engine core report scheduler figures without vLLM's own logging of them."""

    def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
        pass

    def record(self, *_args: Any, **_kwargs: Any) -> None:
        pass

    def log_engine_initialized(self) -> None:
        pass


class _StepLLM(AsyncLLM):  # type: ignore[misc]
    """An AsyncLLM whose outputs go step by step to one callback."""

    on_outputs: Callable[[EngineCoreOutputs], list[str]]
    on_death: Callable[[Exception], None]

    def _run_output_handler(self) -> None:
        """Called by vLLM with each request; our own `start` runs the handler."""

    def start(self) -> None:
        self.output_handler = asyncio.get_running_loop().create_task(self._pump())

    async def _pump(self) -> None:
        next_outputs = self.engine_core.get_output_async
        try:
            while True:
                stopped = self.on_outputs(await next_outputs())
                if stopped:
                    await self.engine_core.abort_requests_async(stopped)
        except Exception as exc:
            self.output_processor.propagate_error(exc)
            self.on_death(exc)


class _Running:
    """What is needed of a sequence between its submission and its last delta."""

    __slots__ = (
        "_gathered",
        "_interval",
        "_wanted",
        "detokenizer",
        "id",
        "logprobs",
        "owner",
        "request_id",
    )

    def __init__(
        self,
        owner: Hashable,
        sequence: Sequence,
        request: EngineCoreRequest,
        tokenizer: Any,
        stream_interval: int,
    ) -> None:
        self.owner = owner
        self.id = sequence.id
        self.request_id = request.request_id
        self.detokenizer = IncrementalDetokenizer.from_new_request(tokenizer, request)
        self._gathered: Delta | None = None
        self._wanted = 1  # tokens that make the next delta: the first token waits for no other
        self._interval = stream_interval
        wants = sequence.sampling
        self.logprobs = (
            None
            if wants.logprobs is None and wants.prompt_logprobs is None
            else LogprobsProcessor.from_new_request(tokenizer, request)
        )

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
        detokenizer = self.detokenizer
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
        if output.prefill_stats is not None:
            delta.num_cached_tokens = output.prefill_stats.num_cached_tokens
        if self.logprobs is not None:
            _add_logprobs(self.logprobs, delta, output)
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
        Logprob(token_id, entry.logprob, entry.decoded_token or "")
        for token_id, entry in row.items()
    ]


class EngineFacts(msgspec.Struct, frozen=True):
    """What a router must know of an engine before it sends to it."""

    max_model_len: int
    block_size: int
    max_num_seqs: int
    kv_cache_tokens: int
    default_sampling: dict[str, Any]
    """Sampling defaults of the model itself, from its generation_config.json."""


class VllmEngine:
    """One vLLM engine: sequences in, one callback per step out.

    The constructor blocks until the engine core has loaded the model. After it, call `start` on
    the event loop that will use the engine; everything else happens on that loop.
    """

    def __init__(self, engine_args: Mapping[str, Any]) -> None:
        config = AsyncEngineArgs(**engine_args).create_engine_config(_USAGE)
        self._llm = _StepLLM(
            vllm_config=config,
            executor_class=Executor.get_class(config),
            log_stats=False,
            stat_loggers=[_Silent],
            log_requests=False,
        )
        self._tokenizer: TokenizerLike = self._llm.get_tokenizer()
        self._sequences: dict[str, _Running] = {}
        self._names: dict[tuple[Hashable, int], str] = {}
        self._submitted = 0
        self._running = self._waiting = 0
        self._kv_cache_usage = 0.0
        self._stream_interval: int = config.scheduler_config.stream_interval
        self._step_time_s = 0.0
        self._last_step_at = 0.0
        self.last_progress = time.monotonic()
        """When the engine core last answered anything (monotonic seconds)."""
        cache = config.cache_config
        self.facts = EngineFacts(
            max_model_len=config.model_config.max_model_len,
            block_size=cache.block_size,
            max_num_seqs=config.scheduler_config.max_num_seqs,
            kv_cache_tokens=(cache.num_gpu_blocks or 0) * cache.block_size,
            default_sampling=config.model_config.get_diff_sampling_param(),
        )

    async def start(
        self, on_step: Callable[[Batches], None], on_death: Callable[[Exception], None]
    ) -> None:
        """Begin to call `on_step` after each engine step; `on_death` once if the engine dies."""
        self._on_step = on_step
        self._llm.on_outputs = self._on_outputs
        self._llm.on_death = on_death
        self._llm.start()
        self._tasks = await self._llm.get_supported_tasks()

    @property
    def unfinished(self) -> int:
        """How many sequences have been submitted and have not had their last delta."""
        return len(self._sequences)

    def load(self) -> Load:
        """The engine's figures as of its last step."""
        return Load(self._running, self._waiting, self._kv_cache_usage, self._step_time_s)

    async def submit(self, owner: Hashable, sequence: Sequence) -> None:
        """Start a sequence. Raises BadRequest for what vLLM would not take."""
        self._submitted += 1
        request_id = str(self._submitted)
        try:
            request = self._llm.input_processor.process_inputs(
                request_id,
                tokens_input(sequence.prompt_token_ids),
                _sampling_params(sequence.sampling),
                supported_tasks=self._tasks,
            )
        except (VLLMClientError, ValueError, TypeError) as exc:
            raise BadRequest(str(exc)) from exc
        request.external_req_id = request_id
        interval = max(self._stream_interval, sequence.sampling.stream_interval)
        self._sequences[request_id] = _Running(owner, sequence, request, self._tokenizer, interval)
        self._names[owner, sequence.id] = request_id
        try:
            await self._llm.engine_core.add_request_async(request)
        except BaseException:
            self._sequences.pop(request_id, None)
            self._names.pop((owner, sequence.id), None)
            raise

    async def abort(self, owner: Hashable, ids: list[int]) -> None:
        """Free these sequences at once; they yield nothing more. Unknown ids are passed over."""
        names = [name for i in ids if (name := self._names.pop((owner, i), None)) is not None]
        for name in names:
            del self._sequences[name]
        await self._llm.engine_core.abort_requests_async(names)

    async def abort_all(self, owner: Hashable) -> None:
        """Free everything that `owner` submitted."""
        await self.abort(owner, [i for who, i in self._names if who == owner])

    async def canary(self) -> None:
        """Generate one token through the whole engine; returns when it came."""
        params = SamplingParams(max_tokens=1, temperature=0.0, detokenize=False)
        async for _ in self._llm.generate(tokens_input([0]), params, f"canary-{time.monotonic()}"):
            pass

    def shutdown(self) -> None:
        """Stop the engine core and its workers."""
        self._llm.shutdown(timeout=5)

    def _on_outputs(self, outputs: EngineCoreOutputs) -> list[str]:
        """Turn a step's outputs into deltas by owner; returns what stop strings have ended."""
        batches: Batches = {}
        stopped: list[str] = []
        foreign: list[EngineCoreOutput] = []
        sequences = self._sequences
        for output in outputs.outputs:
            sequence = sequences.get(output.request_id)
            if sequence is None:
                foreign.append(output)
                continue
            delta = sequence.advance(output)
            if delta is None:
                continue
            batch = batches.get(sequence.owner)
            if batch is None:
                batches[sequence.owner] = [delta]
            else:
                batch.append(delta)
            if delta.finish_reason is not None:
                del sequences[sequence.request_id]
                del self._names[sequence.owner, sequence.id]
                if not output.finished:
                    stopped.append(sequence.request_id)
        if foreign:  # the canary's, or of a sequence just aborted
            self._llm.output_processor.process_outputs(foreign)
        self._observe(outputs, len(outputs.outputs) > len(foreign))
        self._on_step(batches)
        return stopped

    def _observe(self, outputs: EngineCoreOutputs, busy: bool) -> None:
        self.last_progress = now = time.monotonic()
        stats = outputs.scheduler_stats
        if stats is not None:
            self._running = stats.num_running_reqs
            self._waiting = stats.num_waiting_reqs + stats.num_skipped_waiting_reqs
            self._kv_cache_usage = stats.kv_cache_usage
        if busy:
            if self._last_step_at:
                step = now - self._last_step_at
                average = self._step_time_s or step
                self._step_time_s = average + _STEP_TIME_WEIGHT * (step - average)
            self._last_step_at = now if self._sequences else 0.0


def _sampling_params(sampling: Sampling) -> SamplingParams:
    fields = msgspec.structs.asdict(sampling)  # they have vLLM's names
    fields["stop"], fields["stop_token_ids"] = list(sampling.stop), list(sampling.stop_token_ids)
    # Nobody else holds it, so vLLM need not copy it.
    return SamplingParams(**fields, output_kind=RequestOutputKind.DELTA, skip_clone=True)
