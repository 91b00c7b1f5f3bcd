"""From a configuration to a Ray Serve application: the composition root."""

import os
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import RequestRouterConfig

from deployments import directory, engine_args
from deployments.engine import EngineReplica
from deployments.tracing import variables
from serve_app import adapter_config, scaling
from serve_app.config import Settings
from serve_app.http.ingress import Ingress
from serve_app.model_config import ModelConfig

INGRESS = "router"
_MANY = 1_000_000
"""Admission is the router's own: Serve's count of calls must never be the limit."""

_SERVES_LOGGING = {"log_level": "WARNING", "enable_access_log": False}
"""Of Serve's own in a replica, until `deployments.logs` takes over."""


def application(settings: Settings, *, fresh: bool = False) -> Application:
    """The application that serves `settings`; `fresh` where it cannot be there already."""
    on_cpu = engine_args.is_cpu_build()
    engines = sum(model.most_replicas for model in settings.models)
    handles = {
        model.name: _engine(model, number, on_cpu, engines, settings, fresh=fresh)
        for number, model in enumerate(settings.models)
    }
    sources = {model.name: (source(model), model.revision) for model in settings.models}
    options = _router_options(settings) | scaling.of_routers(settings)
    return serve.deployment(Ingress, **options).bind(
        settings.model_dump(mode="json"), sources, handles, tracing=variables.of(os.environ)
    )


def source(model: ModelConfig) -> str:
    """Where the model's files are, for any process of the cluster."""
    folder = Path(model.source).expanduser()
    return str(folder.resolve()) if folder.is_dir() else model.source


def _router_options(settings: Settings) -> dict[str, Any]:
    router = settings.router
    return {
        "name": INGRESS,
        "max_ongoing_requests": _MANY,
        "logging_config": _SERVES_LOGGING,
        "ray_actor_options": {
            "num_cpus": router.num_cpus,
            "resources": router.resources,
            "runtime_env": {"env_vars": settings.log.options.environment()},
        },
        "health_check_period_s": 5,
        "max_surge_percent": router.max_surge_percent,
        "graceful_shutdown_timeout_s": router.drain_timeout_s,
        "graceful_shutdown_wait_loop_s": 0.5,
    }


def _engine(
    model: ModelConfig,
    number: int,
    on_cpu: bool,
    engines: int,
    settings: Settings,
    *,
    fresh: bool = False,
) -> Application:
    args: dict[str, Any] = {"model": source(model), **model.engine_args}
    if settings.limits.top_logprobs > engine_args.MAX_LOGPROBS:
        args.setdefault("max_logprobs", settings.limits.top_logprobs)
    if model.revision is not None:
        args["revision"] = model.revision
    if model.reasoning_parser is not None:  # for forms of answers: they begin behind the thoughts
        args["reasoning_parser"] = model.reasoning_parser
    if model.takes_adapters:
        args = adapter_config.engine_args(model.adapters, args)
    if on_cpu:
        args = engine_args.for_cpu(args)
    elif engine_args.world_size(args) > 1:
        args.setdefault("distributed_executor_backend", "ray")
    options = engine_options(model, on_cpu, engines)
    options["ray_actor_options"]["runtime_env"]["env_vars"] |= settings.log.options.environment()
    options |= scaling.of_engines(model, settings, fresh=fresh)
    return serve.deployment(
        EngineReplica, name=f"engine-{number}-{slug(model.name)}", **options
    ).bind(
        args,
        on_cpu=on_cpu,
        max_cpu_threads=_threads_to_choose_from(model, on_cpu, engines),
        drain_timeout_s=model.drain_timeout_s,
        stall_timeout_s=model.stall_timeout_s,
        adapters=[configured.adapter for configured in model.adapters],
        # Not in the runtime environment: that is for all to see in Ray's dashboard.
        tracing=variables.of(os.environ),
    )


def _threads_to_choose_from(model: ModelConfig, on_cpu: bool, engines: int) -> int | None:
    """What a CPU engine may choose from; None when the user has chosen, or it has a GPU."""
    if not on_cpu or model.cpu_threads is not None:
        return None
    return engine_args.machine_threads(engines)


def slug(name: str) -> str:
    """A model's name as part of a deployment's name."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)


def engine_options(model: ModelConfig, on_cpu: bool, engines: int) -> dict[str, Any]:
    """Serve's options for a model's engine deployment.

    A GPU engine over several devices gets a placement group of one bundle each; Serve puts the
    replica into the first, and vLLM's Ray executor puts a worker into every one.
    """
    world_size = engine_args.world_size(model.engine_args)
    actor: dict[str, Any] = {"num_cpus": model.num_cpus, "resources": model.resources}
    environment = {
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        # Of what torch and others write past every log at each start nothing is news.
        "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "ignore::FutureWarning"),
        "TORCH_CPP_LOG_LEVEL": os.environ.get("TORCH_CPP_LOG_LEVEL", "ERROR"),
        "VLLM_LOGGING_LEVEL": os.environ.get("VLLM_LOGGING_LEVEL", "WARNING"),
    }
    options: dict[str, Any] = {}
    if on_cpu:
        # Replaced by the replica's own choice where the user made none.
        threads = model.cpu_threads or engine_args.machine_threads(engines)
        environment |= engine_args.cpu_environment(threads)
        actor["num_cpus"] = model.num_cpus * world_size
        actor["num_gpus"] = model.num_gpus or 0
    elif world_size == 1:
        actor["num_gpus"] = 1 if model.num_gpus is None else model.num_gpus
    else:
        per_bundle = 1 if model.num_gpus is None else model.num_gpus / world_size
        bundle = {"CPU": max(1, model.num_cpus), "GPU": per_bundle, **model.resources}
        options["placement_group_bundles"] = [bundle] * world_size
        options["placement_group_strategy"] = "PACK"
    actor["runtime_env"] = {"env_vars": environment}
    return options | {
        "max_ongoing_requests": _MANY,
        "logging_config": _SERVES_LOGGING,
        "ray_actor_options": actor,
        "request_router_config": RequestRouterConfig(request_router_class=directory.ROUTER_CLASS),
        "health_check_period_s": 5,
        "health_check_timeout_s": 10,
        "max_surge_percent": model.max_surge_percent,
        "graceful_shutdown_timeout_s": model.drain_timeout_s + 10,
        "graceful_shutdown_wait_loop_s": 0.5,
    }
