"""The Starlette application: routes, who may reach them, and error handling; nothing else."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from serve_app.access import Keys
from serve_app.http import chat, completions, errors, health, models
from serve_app.http.auth import Auth
from serve_app.http.service import Service


def create_app(service: Service, keys: Keys | None = None) -> Starlette:
    """The ASGI application of one router replica; without `keys` open to its own machine."""
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", chat.create_chat_completion, methods=["POST"]),
            Route("/v1/completions", completions.create_completion, methods=["POST"]),
            Route("/v1/models", models.list_models, methods=["GET"]),
            Route("/v1/models/{model:path}", models.get_model, methods=["GET"]),
            Route("/health", health.health, methods=["GET"]),
            Route("/ready", health.ready, methods=["GET"]),
        ],
        middleware=[Middleware(Auth, keys=keys)],
        exception_handlers=errors.HANDLERS,
    )
    app.router.redirect_slashes = False  # clients do not repeat a POST elsewhere: say 404 instead
    app.state.service = service
    return app
