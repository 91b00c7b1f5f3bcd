"""The engine replica: one vLLM engine, its life and its health, as a Ray Serve deployment."""

import gc
import logging
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
import ray
from ray import serve

from deployments import default_model, engine_args, logs, signals, vllm_core_process
from deployments.engine_server import EngineServer
from deployments.errors import BadRequest
from deployments.messages import Adapter
from deployments.progress import Progress
from deployments.reaper import Reaper
from deployments.stages import Stages
from deployments.tracing import starting, variables

if TYPE_CHECKING:
    from deployments.tracing.provider import Tracing

logger = logging.getLogger(__name__)


class EngineDidNotStartError(Exception):
    """vLLM's reason in one line; Serve reports it with the deployment's status."""


class EngineReplica:
    """Owns one engine. Routers reach it over the address in `record_replica_metadata`.

    Serve builds it, asks for its health, and on a stop calls `__del__`, which drains it.
    """

    # Serve awaits a constructor that is a coroutine.
    async def __init__(  # type: ignore[misc]
        self,
        args: dict[str, Any],
        *,
        on_cpu: bool,
        max_cpu_threads: int | None,
        drain_timeout_s: float,
        stall_timeout_s: float,
        adapters: Sequence[Adapter] = (),
        tracing: Mapping[str, str] | None = None,
    ) -> None:
        """`args` are vLLM's engine arguments. A CPU engine chooses its OpenMP threads up to
        `max_cpu_threads`; when that is None, the environment has said how many. Unless all of
        `adapters` can be loaded, it does not start. `tracing` are OpenTelemetry's variables where
        this node has no others."""
        self._stages = Stages(psutil.Process().create_time())
        me = serve.get_replica_context()
        logs.install_engine(deployment=me.deployment, replica=me.replica_id.unique_id)
        self._stages.ended("process")
        self._drain_timeout_s = drain_timeout_s
        self._adapters = adapters
        self._otel = starting.of_this_node(tracing)
        variables.take(os.environ)  # vLLM would send spans of its own from the engine core
        self._tracing: Tracing | None = None
        self._reaper = Reaper()
        try:
            model = default_model.locate(args["model"])
            args = {"use_tqdm_on_load": False, **args, "model": model}  # a log has no use for it
            if on_cpu:
                args = engine_args.for_model_on_cpu(args, Path(model))
            if max_cpu_threads is not None:  # the engine core inherits it
                threads = engine_args.useful_threads(Path(model), max_cpu_threads)
                os.environ.update(engine_args.cpu_environment(threads))
            if on_cpu:
                vllm_core_process.prepare()
            await self._start(args, Progress(stall_s=stall_timeout_s), on_cpu=on_cpu)
            gc.freeze()  # a full collection looked at all of vLLM, for 0.4 s
            logger.info("Started within %s", self._stages)
        except BaseException:
            self._reaper.sweep()
            raise

    async def _start(self, args: dict[str, Any], progress: Progress, *, on_cpu: bool) -> None:
        # Imported here: a replica needs vLLM, those who only name this class do not.
        from deployments.vllm_engine import VllmEngine

        self._stages.ended("import")
        if on_cpu:
            vllm_core_process.use()
        try:
            self._engine = VllmEngine(args)
        except Exception as exc:
            raise EngineDidNotStartError(" ".join(str(exc).split())) from exc
        secret = secrets.token_hex(16)
        self._server = EngineServer(self._engine, secret, progress=progress)
        await self._engine.start(self._server.on_step, self._die)
        self._stages.ended("engine", await self._engine.start_s())
        self._trace()
        await self._load_adapters()
        host = ray.util.get_node_ip_address()
        port = await self._server.listen(host)
        self._stages.ended("adapters")
        self._metadata = {
            "host": host,
            "port": port,
            "pid": os.getpid(),
            "secret": secret,
            "start_s": self._stages.seconds,
            "facts": msgspec.to_builtins(self._engine.facts),
        }

    def _trace(self) -> None:
        """Begin to send spans, if that is wanted. The engine core has been started by now."""
        me = serve.get_replica_context().replica_id.unique_id
        self._tracing = starting.start(self._otel, me, follows=True)
        if self._tracing is not None:
            from deployments.vllm_traced import Traces

            self._engine.traces = Traces(self._tracing.tracer)

    async def _load_adapters(self) -> None:
        engine = self._engine
        try:
            if engine.adapters.capacity and engine.facts.pooling is not None:
                raise BadRequest("Adapters are for models that generate text, and this one pools.")
            await engine.adapters.load(self._adapters)
        except BadRequest as exc:
            engine.shutdown()  # in order: its death would end this process before it has told why
            raise EngineDidNotStartError(exc.message) from exc

    def record_replica_metadata(self) -> dict[str, Any]:
        """Where routers connect; Serve hands it to each of them while this replica is running."""
        return self._metadata

    def record_autoscaling_stats(self) -> dict[str, float]:
        """How full the engine is; Serve hands it to the autoscaling policy."""
        slots = self._engine.facts.max_num_seqs
        return signals.of_engine(self._server.load(), slots, self._stages.total_s)

    async def check_health(self) -> None:
        """Raises while the engine core owes an answer for too long; Serve then replaces us."""
        if not self._server.progressing:
            raise RuntimeError("the engine core has stopped answering")

    async def drain(self) -> None:
        """Take no more sequences and wait for those under way, up to the drain time."""
        await self._server.drain(self._drain_timeout_s)

    async def __del__(self) -> None:
        if not hasattr(self, "_server"):
            return
        await self.drain()
        await self._server.close()
        self._engine.shutdown()
        self._reaper.sweep()
        if self._tracing is not None:
            await self._tracing.close()

    def _die(self, exc: Exception) -> None:
        """A replica without its engine is of no use: go at once, and Serve starts another."""
        logger.error("The engine core died; this replica ends.", exc_info=exc)
        logging.shutdown()
        os._exit(1)
