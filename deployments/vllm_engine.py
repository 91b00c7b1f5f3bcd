"""The engine seam: with the other modules named vllm_*, all that touches vLLM.

Written against 0.32.0's v1 engine. It uses these internals, which a new version may move:
`AsyncLLM._run_output_handler` (replaced, so that a step is handled once and not once per request),
`AsyncLLM.input_processor`, and `EngineCoreClient.get_output_async / add_request_async /
abort_requests_async`.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec
from vllm.config import ReasoningConfig, StructuredOutputsConfig
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.exceptions import VLLMClientError, VLLMValidationError
from vllm.inputs.engine import tokens_input
from vllm.lora.request import LoRARequest
from vllm.pooling_params import PoolingParams
from vllm.sampling_params import (
    RepetitionDetectionParams,
    RequestOutputKind,
    SamplingParams,
)
from vllm.tokenizers import TokenizerLike
from vllm.usage.usage_lib import UsageContext
from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs, EngineCoreRequest
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.executor import Executor
from vllm.v1.metrics.loggers import StatLoggerBase

from deployments import engine_args as choices
from deployments.errors import BadRequest
from deployments.messages import Delta, Load, Sequence
from deployments.vllm_adapters import LoadedAdapters
from deployments.vllm_facts import EngineFacts, engine_facts
from deployments.vllm_forms import form_params
from deployments.vllm_order import priority
from deployments.vllm_pooling import Pooled, pooling_params
from deployments.vllm_resume import EMITTED
from deployments.vllm_sequence import Running, end_of

if TYPE_CHECKING:  # it needs OpenTelemetry
    from deployments.vllm_traced import Traced, Traces

Batches = dict[Hashable, list[Delta]]
"""The deltas of one step by the owner that submitted their sequences."""

_USAGE = UsageContext.OPENAI_API_SERVER
"""vLLM sizes batches by it: a server's are larger than those of an engine of unknown use."""
_TRACED = {"traceparent": ""}
"""The engine core needs to know that a sequence is traced, not in which trace."""
_CHECKING_THREADS = 2  # so that what takes long does not hold up all others
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


class VllmEngine:
    """One vLLM engine: sequences in, one callback per step out.

    The constructor blocks until the engine core has loaded the model. After it, call `start` on
    the event loop that will use the engine; everything else happens on that loop.
    """

    facts: EngineFacts
    """What routers must know of it; known once it has started."""

    def __init__(self, engine_args: Mapping[str, Any]) -> None:
        args = {
            **engine_args,
            **choices.RESUMING,
            **choices.ORDER,
            "structured_outputs_config": StructuredOutputsConfig(
                **choices.structured_outputs_config(engine_args)
            ),
        }
        if isinstance(args.get("reasoning_config"), dict):  # vLLM sets an attribute of it
            args["reasoning_config"] = ReasoningConfig(**args["reasoning_config"])
        config = AsyncEngineArgs(**args).create_engine_config(_USAGE)
        self._llm = _StepLLM(
            vllm_config=config,
            executor_class=Executor.get_class(config),
            log_stats=False,
            stat_loggers=[_Silent],
            log_requests=False,
        )
        self._tokenizer: TokenizerLike = self._llm.get_tokenizer()
        self._takes_over = config.diffusion_config is None
        self._config = config
        self.adapters = LoadedAdapters.of(self._llm, config)
        self._checking = ThreadPoolExecutor(_CHECKING_THREADS, "checking")
        self._names: dict[tuple[Hashable, int], str] = {}
        """Every sequence, from its submission on."""
        self._sequences: dict[str, Running | Pooled | Traced] = {}
        """Those that the engine core has, by those names."""
        self.traces: Traces | None = None
        """Of those that are traced, where there is tracing."""
        self._submitted = 0
        self._running = self._waiting = 0
        self._kv_cache_usage = 0.0
        self._stream_interval: int = config.scheduler_config.stream_interval
        self._step_time_s = 0.0
        self._last_step_at = 0.0
        self.last_progress = time.monotonic()
        """When the engine core last answered anything (monotonic seconds)."""

    async def start(
        self, on_step: Callable[[Batches, float], None], on_death: Callable[[Exception], None]
    ) -> None:
        """Begin to call `on_step` after each engine step, with the time when the engine core
        made it (monotonic seconds); `on_death` once if the engine dies."""
        self._on_step = on_step
        self._llm.on_outputs = self._on_outputs
        self._llm.on_death = on_death
        self._llm.start()
        self._tasks = await self._llm.get_supported_tasks()
        self.facts = engine_facts(self._config, self._tasks)

    async def start_s(self) -> dict[str, float]:
        """What the slowest worker took for each stage of its start; empty where none has looked."""
        told: list[dict[str, float]] = await self._llm.collective_rpc("start_s")
        return {stage: max(one[stage] for one in told) for stage in told[0]}

    @property
    def unfinished(self) -> int:
        """How many sequences have been submitted and have not had their last delta."""
        return len(self._names)

    def load(self) -> Load:
        """The engine's figures as of its last step."""
        return Load(self._running, self._waiting, self._kv_cache_usage, self._step_time_s)

    def submit(self, owner: Hashable, sequence: Sequence) -> Coroutine[Any, Any, None]:
        """Start a sequence. What is returned, awaited, raises BadRequest for what vLLM refuses.

        The sequence is known as soon as this has been called: an abort finds it while its schema is
        still being checked.
        """
        self._submitted += 1
        request_id = str(self._submitted)
        self._names[owner, sequence.id] = request_id
        if self.traces is not None:
            self.traces.submitted(request_id, sequence)
        return self._submit(owner, sequence, request_id)

    async def _submit(self, owner: Hashable, sequence: Sequence, request_id: str) -> None:
        def is_wanted() -> bool:  # not aborted meanwhile
            return self._names.get((owner, sequence.id)) == request_id

        try:
            if not is_wanted():
                return
            request = await self._request(request_id, sequence)
            if is_wanted():
                await self._begin(owner, sequence, request)
            else:
                self.adapters.release(request_id)
        except BaseException:
            self._forget(owner, sequence.id, request_id)
            raise

    async def _request(self, request_id: str, sequence: Sequence) -> EngineCoreRequest:
        lora = None
        if sequence.adapter is not None:
            lora = await self.adapters.hold(request_id, sequence.adapter)
        if not sequence.sampling.is_slow_to_check:
            return self._checked_request(request_id, sequence, lora)
        # The router has tried the form out, and it passed.
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._checking, self._checked_request, request_id, sequence, lora
        )

    def _checked_request(
        self, request_id: str, sequence: Sequence, lora: LoRARequest | None
    ) -> EngineCoreRequest:
        processor = self._llm.input_processor
        pooling = sequence.pooling
        try:
            # Only what clients tokenized can be wrong. vLLM's own check would not name the field.
            field = "prompt" if pooling is None else "input"
            processor.renderer.validate_token_ids(sequence.prompt_token_ids, parameter=field)
            processor.renderer.validate_token_ids(sequence.emitted_token_ids)
            request = processor.process_inputs(
                request_id,
                tokens_input(sequence.prompt_token_ids, cache_salt=sequence.cache_salt),
                _sampling_params(sequence) if pooling is None else pooling_params(pooling),
                supported_tasks=self._tasks,
                lora_request=lora,
                trace_headers=None if sequence.traceparent is None else _TRACED,
            )
        except VLLMValidationError as exc:
            # Without the value, which may be long, and which the client knows.
            raise BadRequest(str(exc.args[0]), param=exc.parameter) from exc
        except (VLLMClientError, ValueError, TypeError) as exc:
            raise BadRequest(str(exc)) from exc
        request.external_req_id = request_id
        request.priority = priority(time.monotonic(), ahead=sequence.ahead, yields=sequence.yields)
        if (reasoning := sequence.sampling.reasoning) is not None:
            request.reasoning_ended = reasoning.ended
            kwargs = msgspec.json.decode(reasoning.chat_template_kwargs)
            request.reasoning_parser_kwargs = {"chat_template_kwargs": kwargs}
        return request

    async def _begin(self, owner: Hashable, sequence: Sequence, request: EngineCoreRequest) -> None:
        if sequence.pooling is not None:
            pooled = Pooled(owner, sequence.id, request.request_id)
            return await self._add(request, pooled)
        interval = max(self._stream_interval, sequence.sampling.stream_interval)
        running = Running(owner, sequence.id, request, self._tokenizer, interval)
        if emitted := sequence.emitted_token_ids:
            if not self._takes_over:
                raise RuntimeError("a diffusion model cannot go on with what another engine began")
            last = running.take_over(emitted, end_of(request, emitted, self.facts.max_model_len))
            if last is not None:
                self._end_trace(request.request_id, str(last.finish_reason))
                self._forget(owner, sequence.id, request.request_id)
                return self._on_step({owner: [last]}, time.monotonic())
        return await self._add(request, running)

    async def _add(self, request: EngineCoreRequest, running: Running | Pooled) -> None:
        traced = None if self.traces is None else self.traces.watched(running)
        self._sequences[request.request_id] = traced or running
        await self._llm.engine_core.add_request_async(request)

    def _forget(self, owner: Hashable, sequence_id: int, request_id: str) -> None:
        self._sequences.pop(request_id, None)
        self.adapters.release(request_id)
        self._end_trace(request_id, "error")
        if self._names.get((owner, sequence_id)) == request_id:
            del self._names[owner, sequence_id]

    def _end_trace(self, request_id: str, outcome: str) -> None:
        if self.traces is not None:
            self.traces.left(request_id, outcome)

    async def abort(self, owner: Hashable, ids: list[int]) -> None:
        """Free these sequences at once; they yield nothing more. Unknown ids are passed over."""
        names = [name for i in ids if (name := self._names.pop((owner, i), None)) is not None]
        begun = [name for name in names if self._sequences.pop(name, None) is not None]
        await self._llm.engine_core.abort_requests_async(begun)
        for name in names:
            self.adapters.release(name)
            self._end_trace(name, "aborted")

    async def abort_all(self, owner: Hashable) -> None:
        """Free everything that `owner` submitted."""
        await self.abort(owner, [i for who, i in self._names if who == owner])

    async def canary(self) -> None:
        """Generate or pool one token through the whole engine; returns when it came."""
        name, prompt = f"canary-{time.monotonic()}", tokens_input([0])
        if self.facts.pooling is not None:
            task = self.facts.pooling.task
            outputs = self._llm.encode(prompt, PoolingParams(task=task), name)
        else:
            params = SamplingParams(max_tokens=1, temperature=0.0, detokenize=False)
            outputs = self._llm.generate(prompt, params, name)
        async for _ in outputs:
            pass

    def shutdown(self) -> None:
        """Stop the engine core and its workers."""
        self._checking.shutdown(wait=False, cancel_futures=True)
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
                self.adapters.release(sequence.request_id)
                self._end_trace(sequence.request_id, delta.finish_reason)
                if not output.finished:
                    stopped.append(sequence.request_id)
        if foreign:  # the canary's, or of a sequence just aborted
            self._llm.output_processor.process_outputs(foreign)
        self._observe(outputs, len(outputs.outputs) > len(foreign))
        self._on_step(batches, outputs.timestamp)
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


def _sampling_params(sequence: Sequence) -> SamplingParams:
    sampling = sequence.sampling
    fields = msgspec.structs.asdict(sampling)  # they have vLLM's names
    del fields["reasoning"]  # of the request, not of its parameters
    for name in ("allowed_token_ids", "bad_words", "stop", "stop_token_ids"):
        fields[name] = None if fields[name] is None else list(fields[name])
    if sampling.structured_outputs is not None:
        fields["structured_outputs"] = form_params(sampling.structured_outputs)
    if sampling.repetition_detection is not None:
        rule = msgspec.structs.asdict(sampling.repetition_detection)
        fields["repetition_detection"] = RepetitionDetectionParams(**rule)
    if sequence.emitted_token_ids:
        fields["extra_args"] = {EMITTED: sequence.emitted_token_ids}
        fields["prompt_logprobs"] = None  # they went out before the first token
    # Nobody else holds it, so vLLM need not copy it.
    return SamplingParams(**fields, output_kind=RequestOutputKind.DELTA, skip_clone=True)
