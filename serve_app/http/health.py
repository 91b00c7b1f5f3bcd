"""GET /health: this process answers. GET /ready: every model has an engine that makes progress."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from deployments.pool import EnginePool
from serve_app.http.auth import known_client
from serve_app.http.service import Service


async def health(_: Request) -> JSONResponse:
    """Always 200: restart this process when it does not come."""
    return JSONResponse({"status": "alive"})


async def ready(request: Request) -> JSONResponse:
    """200 when at least one engine of every model beats, else 503.

    Known clients also get the load of each model that they may use.
    """
    service: Service = request.app.state.service
    pools = service.router.pools
    everything = all(pool.ready for pool in pools.values())
    content: dict[str, Any] = {"status": "ready" if everything else "not ready"}
    if client := known_client(request):
        content["models"] = {n: _state(pool) for n, pool in pools.items() if client.may_use(n)}
    return JSONResponse(content, status_code=200 if everything else 503)


def _state(pool: EnginePool) -> dict[str, Any]:
    engines = [
        {
            "replica": link.replica.id,
            "host": link.replica.host,
            "pid": link.replica.pid,
            "start_s": {stage: round(s, 2) for stage, s in link.replica.start_s.items()},
            "beats": link.beats,
            "breaker": link.breaker.state,
            "draining": link.report.draining,
            "in_flight": link.in_flight,
            "running": link.report.running,
            "waiting": link.report.waiting,
            "kv_cache_usage": round(link.report.kv_cache_usage, 4),
            "step_time_ms": round(1000 * link.report.step_time_s, 2),
        }
        for link in pool.links
    ]
    return {"ready": pool.ready, "queue": _queue(pool), "engines": engines}


def _queue(pool: EnginePool) -> dict[str, Any]:
    """What waits before the engines, and how good the predictions of waits have been."""
    dispatcher = pool.dispatcher
    error_s = dispatcher.outlook.forecast.error_s.value
    return {
        "waiting": {
            level.name.lower(): {"sequences": count, "cost": round(cost)}
            for level, (count, cost) in dispatcher.waiting().items()
        },
        "prediction_error_ms": None if error_s is None else round(1000 * error_s, 1),
        "moves": dispatcher.moves,
    }
