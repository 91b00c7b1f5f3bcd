"""GET /health: this process answers. GET /ready: every model has an engine that makes progress."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from deployments.pool import EnginePool
from serve_app.http.service import Service


async def health(_: Request) -> JSONResponse:
    """Always 200: restart this process when it does not come."""
    return JSONResponse({"status": "alive"})


async def ready(request: Request) -> JSONResponse:
    """200 when at least one engine of every model beats, else 503; with each model's load."""
    service: Service = request.app.state.service
    models = {name: _state(pool) for name, pool in service.router.pools.items()}
    everything = all(pool.ready for pool in service.router.pools.values())
    content = {"status": "ready" if everything else "not ready", "models": models}
    return JSONResponse(content, status_code=200 if everything else 503)


def _state(pool: EnginePool) -> dict[str, Any]:
    engines = [
        {
            "replica": link.replica.id,
            "beats": link.beats,
            "draining": link.load.draining,
            "running": link.load.running,
            "waiting": link.load.waiting,
            "kv_cache_usage": round(link.load.kv_cache_usage, 4),
            "step_time_ms": round(1000 * link.load.step_time_s, 2),
        }
        for link in pool.links
    ]
    return {"ready": pool.ready, "engines": engines}
