"""Reading a request's body, up to the limit and not a byte further."""

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request

from deployments.errors import PayloadTooLarge
from serve_app.http.parsing import Model, parse
from serve_app.http.record import record_of
from serve_app.http.service import Service

BODY_S = 60.0
"""How long a body may take to come."""


async def read(request: Request, model: type[Model]) -> Model:
    """The body as `model`; raises BadRequest beside what `read_json_body` raises."""
    service: Service = request.app.state.service
    record = record_of(request)
    asked_at = service.router.now()
    body = await read_json_body(request, service.max_body_bytes)
    record.read_at = service.router.now()
    record.body_s = record.read_at - asked_at
    asked = parse(model, body, service.limits)
    record.validated_at = service.router.now()
    return asked


async def read_json_body(request: Request, limit: int) -> bytes:
    """The body of a JSON request; raises PayloadTooLarge, 415 for another content type, or 408."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json" and not content_type.endswith("+json"):
        raise HTTPException(
            415, f"Send Content-Type: application/json, not {content_type or 'none'}."
        )
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(BODY_S):
            return await _read(request, limit)
    except TimeoutError:
        raise HTTPException(408, f"The body did not come within {BODY_S:g} seconds.") from None


async def _read(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {limit} bytes.")
