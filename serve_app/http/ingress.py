"""The router replica as Serve sees it: the router behind the ASGI application."""

import asyncio
import gc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from deployments import logs, signals
from deployments.adapter_store import RayStore
from deployments.adapters import Adapters, Served
from deployments.dispatcher import Rules
from deployments.forms import FormChecker
from deployments.metering.loop_lag import LoopLag
from deployments.metering.metrics import Metrics
from deployments.metering.peers import Peers
from deployments.metering.ray_export import Publishing, RayExport
from deployments.metering.ray_registry import RayRegistry
from deployments.metering.sample import Snapshot
from deployments.router import Router
from deployments.scheduling.terms import Level
from deployments.speech import Parsing
from deployments.tokenizing import Tokenizing
from deployments.tracing import starting, variables
from serve_app.auth_config import keyring
from serve_app.config import Settings
from serve_app.http.app import ENDPOINTS, create_app
from serve_app.http.metrics import Requests
from serve_app.http.record import Reader, Tracer
from serve_app.http.request_log import RequestLog
from serve_app.http.service import Service
from serve_app.model_config import ModelConfig
from serve_app.router_config import RouterConfig

_GC_THRESHOLDS = (50_000, 20, 50)
"""A token leaves no cycles behind; at Python's 700 the collector took 7 % of the router's time."""


@serve.ingress()
class Ingress:
    """Built by Serve in each router replica; Serve asks it for the application once it is."""

    # Serve awaits a constructor that is a coroutine; the router needs the running loop.
    async def __init__(  # type: ignore[misc]
        self,
        settings: dict[str, Any],
        sources: dict[str, tuple[str, str | None]],
        engines: dict[str, DeploymentHandle],
        tracing: Mapping[str, str] | None = None,
    ) -> None:
        """`tracing` are OpenTelemetry's variables where this node has no others."""
        me = serve.get_replica_context()
        log = logs.LogOptions.of_environment()
        logs.install(log, deployment=me.deployment, replica=me.replica_id.unique_id)
        gc.set_threshold(*_GC_THRESHOLDS)
        self._deployments = {name: engine.deployment_name for name, engine in engines.items()}
        config = Settings.model_validate(settings)
        tokenizers = {
            model.name: tokenizing(model, *sources[model.name]) for model in config.models
        }
        self._keys = keyring(config.auth)
        forms = FormChecker(
            cpu_ms=config.limits.form_cpu_ms, memory_mb=config.limits.form_memory_mb
        )
        if any(model.engine_args.get("runner") != "pooling" for model in config.models):
            forms.start()
        router = Router(
            engines,
            max_sequences=config.router.max_sequences,
            rules=rules(config.router),
            sleepers={model.name for model in config.models if model.may_sleep},
            adapters=adapters(config, me.app_name),
        )
        self._trace(tracing, me.replica_id.unique_id)
        self._requests = Requests()
        self._readers: tuple[Reader, ...] = (self._requests.ended,)
        if config.log.requests:
            self._readers += (RequestLog(log),)
        self._loop_lag = LoopLag()
        self._service = Service(
            router=router,
            metrics=Metrics(
                router.pools,
                me.replica_id.unique_id,
                (self._requests.samples, self._loop_lag.samples),
                Peers(DeploymentHandle(me.deployment, me.app_name), self.metrics.__name__),
            ),
            tokenizers=tokenizers,
            parsings=await parsings(config, tokenizers),
            max_body_bytes=config.http.max_body_bytes,
            forms=forms,
            limits=config.limits,
            stream_buffer_chars=config.router.stream_buffer_chars,
            deadlines=deadlines(config.router),
            share_prefix_cache=config.auth.share_prefix_cache,
            sources={name: source for name, (source, _) in sources.items()},
            adapter_dirs=adapter_dirs(config),
        )
        self._publishing = Publishing(RayExport(RayRegistry()), self._service.metrics.all_here)
        gc.freeze()  # a full collection looked at all of the imports, for a third of a second

    def _trace(self, given: Mapping[str, str] | None, me: str) -> None:
        """Begin to send spans, if that is wanted."""
        otel = starting.of_this_node(given)
        self._tracing = starting.start(otel, me, follows=False)
        self._tracer: Tracer | None = None
        if self._tracing is not None:
            from serve_app.http.tracing import RequestTracer

            self._tracer = RequestTracer(
                self._tracing.tracer,
                ENDPOINTS,
                takes_context=variables.takes_context(otel),
                wants_content=variables.want_content(otel),
            )

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return create_app(self._service, self._keys, self._readers, self._tracer)

    def record_autoscaling_stats(self) -> dict[str, float]:
        """What waits, comes and is done; Serve hands it to the autoscaling policy."""
        pools = self._service.router.pools
        return signals.of_router({self._deployments[name]: pool for name, pool in pools.items()})

    async def metrics(self) -> Snapshot:
        """What this replica tells of itself, for another that is asked for all."""
        return self._service.metrics.own()

    async def __del__(self) -> None:
        if hasattr(self, "_publishing"):
            await self._publishing.close()
            self._loop_lag.close()
            await self._service.router.close()
            await self._service.forms.close()
            if self._tracing is not None:
                await self._tracing.close()


def tokenizing(model: ModelConfig, source: str, revision: str | None) -> Tokenizing:
    """A model's tokenizer, and the chat template that the configuration gives it."""
    file = model.chat_template
    return Tokenizing(
        source,
        revision,
        chat_template=None if file is None else Path(file).read_text(encoding="utf-8"),
        content_format=model.chat_template_content_format,
        default_kwargs=model.default_chat_template_kwargs,
    )


async def parsings(config: Settings, tokenizers: Mapping[str, Tokenizing]) -> dict[str, Parsing]:
    """The parsers of the models that have some."""
    return {
        model.name: await asyncio.to_thread(
            tokenizers[model.name].parsing,
            tool_parser=model.tool_parser,
            reasoning_parser=model.reasoning_parser,
            tool_strict_level=model.tool_strict_level,
        )
        for model in config.models
        if model.has_parser
    }


def adapter_dirs(config: Settings) -> dict[str, list[Path]]:
    """From where adapters for each model may be loaded."""
    return {model.name: [Path(folder) for folder in model.adapter_dirs] for model in config.models}


def adapters(config: Settings, application: str) -> Adapters:
    """Those of the configuration, and those that may be loaded beside them."""
    models = {model.name for model in config.models}
    allowed = adapter_dirs(config)

    def allows(served: Served) -> bool:
        adapter = served.adapter
        places = allowed.get(served.base, ())
        return adapter is not None and (
            adapter.name not in models and any(map(Path(adapter.path).is_relative_to, places))
        )

    return Adapters(
        [Served(model.name, each.adapter) for model in config.models for each in model.adapters],
        RayStore(application) if any(allowed.values()) else None,
        allows,
    )


def rules(router: RouterConfig) -> Rules:
    """The queue's rules by the configuration."""
    return Rules(
        queue=router.queue,
        placement=router.placement,
        max_queued_tokens=router.max_queued_tokens,
        max_wait_s=router.max_wait_s,
        max_moves=router.max_moves,
        ageing_s={
            Level.STANDARD: router.ageing_s.standard,
            Level.BATCH: router.ageing_s.batch,
        },
    )


def deadlines(router: RouterConfig) -> dict[Level, float | None]:
    """Within how many seconds the first token must come, by class."""
    by_class = router.deadlines_ms.model_dump()
    return {
        level: None if (ms := by_class[level.name.lower()]) is None else ms / 1000
        for level in Level
    }
