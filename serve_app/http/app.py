"""The Starlette application: its endpoints, who may reach them, and error handling."""

from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware

from serve_app.access import Keys
from serve_app.http import (
    adapters,
    chat,
    classify,
    completions,
    docs_page,
    embeddings,
    errors,
    health,
    metrics,
    models,
    openapi,
    scoring,
    tokens,
)
from serve_app.http import openapi_answers as answers
from serve_app.http.adapters import LoadRequest, UnloadRequest
from serve_app.http.auth import Auth
from serve_app.http.chat_request import ChatRequest
from serve_app.http.completion_request import CompletionRequest
from serve_app.http.embedding_request import EmbeddingRequest
from serve_app.http.endpoint import TEXT, Endpoint
from serve_app.http.pooling_request import InputRequest
from serve_app.http.record import Reader, Recording
from serve_app.http.scoring_request import RerankRequest, ScoreRequest
from serve_app.http.service import Service
from serve_app.http.tokens import DetokenizeRequest, TokenizeRequest

_GENERATION, _POOLING, _TOKENS, _SERVER = "Generation", "Pooling", "Tokens", "Server"
_ADMIN = "Administration"

ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/chat/completions",
        chat.create_chat_completion,
        _GENERATION,
        ChatRequest,
        answers.ChatCompletion,
        event=answers.ChatCompletionChunk,
        queued=True,
    ),
    Endpoint(
        "POST",
        "/v1/completions",
        completions.create_completion,
        _GENERATION,
        CompletionRequest,
        answers.Completion,
        event=answers.CompletionChunk,
        queued=True,
    ),
    Endpoint(
        "POST",
        "/v1/embeddings",
        embeddings.create_embedding,
        _POOLING,
        EmbeddingRequest,
        answers.Embeddings,
        queued=True,
    ),
    Endpoint(
        "POST",
        "/v1/score",
        scoring.create_score,
        _POOLING,
        ScoreRequest,
        answers.Scores,
        queued=True,
        aliases=("/score",),
    ),
    Endpoint(
        "POST",
        "/v1/rerank",
        scoring.create_ranking,
        _POOLING,
        RerankRequest,
        answers.Ranking,
        queued=True,
        aliases=("/rerank", "/v2/rerank"),
    ),
    Endpoint(
        "POST",
        "/v1/classify",
        classify.create_classification,
        _POOLING,
        InputRequest,
        answers.Classification,
        queued=True,
        aliases=("/classify",),
    ),
    Endpoint(
        "POST",
        "/tokenize",
        tokens.tokenize,
        _TOKENS,
        TokenizeRequest,
        answers.Tokenized,
        refuses=(503,),
    ),
    Endpoint(
        "POST",
        "/detokenize",
        tokens.detokenize,
        _TOKENS,
        DetokenizeRequest,
        answers.Detokenized,
        refuses=(503,),
    ),
    Endpoint(
        "POST",
        "/v1/load_lora_adapter",
        adapters.load_lora_adapter,
        _ADMIN,
        LoadRequest,
        media_types=(TEXT,),
        queued=True,
    ),
    Endpoint(
        "POST",
        "/v1/unload_lora_adapter",
        adapters.unload_lora_adapter,
        _ADMIN,
        UnloadRequest,
        media_types=(TEXT,),
        refuses=(403, 503),
    ),
    Endpoint("GET", "/v1/models", models.list_models, _SERVER, answer=answers.ModelList),
    Endpoint(
        "GET",
        "/v1/models/{model:path}",
        models.get_model,
        _SERVER,
        answer=answers.Model,
        refuses=(503,),
    ),
    Endpoint("GET", "/health", health.health, _SERVER, answer=answers.Health, is_open=True),
    Endpoint(
        "GET",
        "/ready",
        health.ready,
        _SERVER,
        answer=answers.Readiness,
        also=((503, answers.Readiness),),
        is_open=True,
        tells_more=True,
    ),
    Endpoint(
        "GET",
        "/metrics",
        metrics.get_metrics,
        _SERVER,
        media_types=(TEXT,),
        refuses=(403,),
    ),
    Endpoint(
        "GET",
        "/openapi.json",
        openapi.get_openapi,
        _SERVER,
        answer=dict[str, Any],
        is_open=True,
    ),
    Endpoint(
        "GET", "/docs", docs_page.show_docs, _SERVER, media_types=("text/html",), is_open=True
    ),
    Endpoint(
        "GET",
        "/docs/{file}",
        docs_page.get_docs_file,
        _SERVER,
        media_types=("text/css", "text/javascript"),
        is_open=True,
    ),
)
"""Everything that the server answers: its routes and its OpenAPI document are made of this."""


def create_app(
    service: Service, keys: Keys | None = None, readers: Sequence[Reader] = ()
) -> Starlette:
    """The ASGI application of one router replica; without `keys` open to its own machine.

    `readers` get the record of each request at its end.
    """
    recording = Middleware(Recording, readers=readers, endpoints=ENDPOINTS, now=service.router.now)
    app = Starlette(
        routes=[route for endpoint in ENDPOINTS for route in endpoint.routes],
        middleware=[recording, Middleware(Auth, keys=keys)],
        exception_handlers=errors.HANDLERS,
    )
    app.router.redirect_slashes = False  # clients do not repeat a POST elsewhere: say 404 instead
    app.state.service = service
    app.state.document = openapi.document(ENDPOINTS, service.limits)
    return app
