"""The Starlette application: routes and error handling, nothing else."""

from starlette.applications import Starlette
from starlette.routing import Route

from serve_app.http import chat, completions, errors, health, models
from serve_app.http.service import Service


def create_app(service: Service) -> Starlette:
    """The ASGI application of one router replica."""
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", chat.create_chat_completion, methods=["POST"]),
            Route("/v1/completions", completions.create_completion, methods=["POST"]),
            Route("/v1/models", models.list_models, methods=["GET"]),
            Route("/v1/models/{model:path}", models.get_model, methods=["GET"]),
            Route("/health", health.health, methods=["GET"]),
            Route("/ready", health.ready, methods=["GET"]),
        ],
        exception_handlers=errors.HANDLERS,
    )
    app.router.redirect_slashes = False  # clients do not repeat a POST elsewhere: say 404 instead
    app.state.service = service
    return app
