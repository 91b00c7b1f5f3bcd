"""GET /v1/models and GET /v1/models/{id}"""

import contextlib
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from deployments.errors import EngineUnavailable, Overloaded
from serve_app.http.auth import check_model, client_of
from serve_app.http.service import Service


async def list_models(request: Request) -> JSONResponse:
    """Every model that the client may use."""
    service: Service = request.app.state.service
    with contextlib.suppress(Overloaded):  # then it is what this router has heard last
        await service.router.adapters.refresh()
    names = filter(client_of(request).may_use, service.router.names)
    return JSONResponse({"object": "list", "data": [_model(service, name) for name in names]})


async def get_model(request: Request) -> JSONResponse:
    """One model, or 404."""
    service: Service = request.app.state.service
    name: str = request.path_params["model"]
    check_model(request, name)
    await service.router.find(name)
    return JSONResponse(_model(service, name))


def _model(service: Service, name: str) -> dict[str, Any]:
    served = service.router.served(name)
    try:
        context = service.router.pool(name).facts["max_model_len"]
    except EngineUnavailable:
        context = None  # known once an engine runs
    return {
        "id": name,
        "object": "model",
        "created": served.created or service.created,
        "owned_by": "sluice",
        "root": served.adapter.path if served.adapter else service.sources.get(name, name),
        "parent": served.base if served.adapter else None,
        "max_model_len": context,
    }
