"""Which model does what: a request for something else is refused before any work."""

from typing import Any

from deployments.errors import BadRequest
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
