"""The one mapping from errors to OpenAI's error shape.

    {"error": {"message": ..., "type": ..., "param": ..., "code": ...}}

Before the first byte it is a response with the status below; after it, an SSE event of the same
shape. No stack trace reaches a client.
"""

import logging
import math
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from deployments.errors import (
    BadRequest,
    EngineFailed,
    Forbidden,
    ModelNotFound,
    Overloaded,
    PayloadTooLarge,
    SluiceError,
    Unauthorized,
)
from serve_app.http.record import INTERNAL_CODE, Record, record_of

logger = logging.getLogger(__name__)

_STATUS: tuple[tuple[type[SluiceError], int], ...] = (
    (PayloadTooLarge, 413),
    (BadRequest, 400),
    (Unauthorized, 401),
    (Forbidden, 403),
    (ModelNotFound, 404),
    (Overloaded, 503),
    (EngineFailed, 503),
    (SluiceError, 500),
)
_TYPE = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
}
_CODE = {
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "payload_too_large",
    415: "unsupported_media_type",
    431: "request_header_fields_too_large",
}
INTERNAL = "The server had an internal error. The request id leads to it in the server's log."


def status_of(exc: SluiceError) -> int:
    """The HTTP status of `exc`."""
    return next(status for kind, status in _STATUS if isinstance(exc, kind))


def body(status: int, message: str, *, param: str | None = None, code: str | None = None) -> bytes:
    """OpenAI's error object as JSON."""
    kind = _TYPE.get(status) or ("invalid_request_error" if status < 500 else "server_error")
    error = {"message": message, "type": kind, "param": param, "code": code or _CODE.get(status)}
    return msgspec.json.encode({"error": error})


def event(exc: BaseException) -> bytes:
    """`exc` as an SSE event, for a stream whose headers have gone out."""
    if not isinstance(exc, SluiceError):
        content = body(500, INTERNAL, code=INTERNAL_CODE)
    else:
        content = body(status_of(exc), exc.message, param=exc.param, code=exc.code)
    return b"data: " + content + b"\n\n"


def log_crash(record: Record, exc: BaseException) -> None:
    """Where the request id leads to."""
    logger.error("Unexpected error", exc_info=exc, extra={"request_id": record.request_id})


def code_of(exc: BaseException) -> str | None:
    """What `exc` is called where it is told."""
    return exc.code if isinstance(exc, SluiceError) else INTERNAL_CODE


def response(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error response."""
    content = body(status, message, param=param, code=code)
    return Response(content, status, headers, media_type="application/json")


async def on_sluice_error(request: Request, exc: Exception) -> Response:
    """Any error of our own tree."""
    assert isinstance(exc, SluiceError)
    record_of(request).error = exc.code
    headers = {}
    if isinstance(exc, Overloaded) and not exc.retriable:
        headers["x-should-retry"] = "false"  # the openai clients' own word
    elif isinstance(exc, Overloaded):
        headers["Retry-After"] = str(math.ceil(exc.retry_after_s))
        headers["retry-after-ms"] = str(math.ceil(1000 * exc.retry_after_s))
    elif isinstance(exc, EngineFailed):
        headers["Retry-After"] = "1"
    elif isinstance(exc, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    return response(status_of(exc), exc.message, param=exc.param, code=exc.code, headers=headers)


async def on_http_exception(request: Request, exc: Exception) -> Response:
    """What Starlette itself refuses: unknown paths and methods."""
    assert isinstance(exc, HTTPException)
    message = exc.detail
    if exc.status_code == 404:
        message = f"Unknown path: {request.method} {request.url.path}"
    elif exc.status_code == 405:
        message = f"{request.url.path} does not take {request.method}"
    record_of(request).error = _CODE.get(exc.status_code, "http_error")
    return response(exc.status_code, message, headers=exc.headers)


async def on_crash(request: Request, exc: Exception) -> Response:
    """A bug of ours."""
    log_crash(record_of(request), exc)
    return response(500, INTERNAL, code=INTERNAL_CODE)


async def on_client_gone(request: Request, _: Exception) -> Response:
    """Nobody reads this, and nothing of ours is wrong."""
    record_of(request).client_gone = True
    return response(400, "The client left before its whole request had come.")


HANDLERS: dict[Any, Any] = {
    SluiceError: on_sluice_error,
    HTTPException: on_http_exception,
    ClientDisconnect: on_client_gone,
    Exception: on_crash,
}
