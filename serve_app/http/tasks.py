"""Which model does what: a request for something else is refused before any work."""

from typing import Any

from starlette.requests import Request

from deployments.errors import BadRequest
from serve_app.http.auth import check_model
from serve_app.http.record import record_of
from serve_app.http.service import Service

UNSUPPORTED_TASK = "unsupported_task"

GENERATE, EMBED, CLASSIFY, SCORE = "generate", "embed", "classify", "score"
_DOES = {
    GENERATE: "generates text",
    EMBED: "makes embeddings",
    CLASSIFY: "classifies",
}
_WHERE = {
    GENERATE: "/v1/chat/completions and /v1/completions",
    EMBED: "/v1/embeddings and /v1/score",
    CLASSIFY: "/v1/classify, and /v1/score if it has one class",
}


async def reach(request: Request, model: str) -> None:
    """Wait until it is known what engines of `model` can do, be it that they have to be woken.

    Raises ModelNotFound, also for a model that the client may not use, EngineUnavailable, or
    Overloaded.
    """
    service: Service = request.app.state.service
    await find(request, model)
    await service.router.reach(model)
    record_of(request).reached_at = service.router.now()


async def find(request: Request, model: str) -> None:
    """Raises ModelNotFound for what is no model, also for one that the client may not use."""
    service: Service = request.app.state.service
    check_model(request, model)
    await service.router.find(model)
    record_of(request).model = model  # not before it is one: who asks may write anything


def facts_for(service: Service, model: str, task: str) -> dict[str, Any]:
    """What is known of the engines of a model that does `task`.

    Raises ModelNotFound, EngineUnavailable while no engine runs, or BadRequest.
    """
    facts = service.router.pool(model).facts
    pooling = facts["pooling"]
    own: str = GENERATE if pooling is None else pooling["task"]
    if task == own or (task == SCORE and pooling is not None and pooling["scores"]):
        return facts
    does = _DOES.get(own, f"does {own}")
    advice = f": it is for {_WHERE[own]}" if own in _WHERE else ""
    raise BadRequest(
        f"The model '{model}' {does}, and nothing else{advice}.",
        param="model",
        code=UNSUPPORTED_TASK,
    )
