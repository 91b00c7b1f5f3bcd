"""The router replica as Serve sees it: the router behind the ASGI application."""

import gc
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from deployments.dispatcher import Rules
from deployments.router import Router
from deployments.scheduling.terms import Level
from deployments.tokenizing import Tokenizing
from serve_app.auth_config import keyring
from serve_app.config import Settings
from serve_app.http.app import create_app
from serve_app.http.service import Service
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
    ) -> None:
        gc.set_threshold(*_GC_THRESHOLDS)
        config = Settings.model_validate(settings)
        tokenizers = {
            name: Tokenizing(source, revision) for name, (source, revision) in sources.items()
        }
        self._keys = keyring(config.auth)
        self._service = Service(
            router=Router(
                engines, max_sequences=config.router.max_sequences, rules=rules(config.router)
            ),
            tokenizers=tokenizers,
            max_body_bytes=config.http.max_body_bytes,
            stream_buffer_chars=config.router.stream_buffer_chars,
            deadlines=deadlines(config.router),
            share_prefix_cache=config.auth.share_prefix_cache,
        )

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return create_app(self._service, self._keys)

    async def __del__(self) -> None:
        if hasattr(self, "_service"):
            await self._service.router.close()


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
