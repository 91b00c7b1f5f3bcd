"""Reading a request's body, up to the limit and not a byte further."""

from starlette.exceptions import HTTPException
from starlette.requests import Request

from deployments.errors import PayloadTooLarge


async def read_json_body(request: Request, limit: int) -> bytes:
    """The body of a JSON request; raises PayloadTooLarge, or 415 for another content type."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json" and not content_type.endswith("+json"):
        raise HTTPException(
            415, f"Send Content-Type: application/json, not {content_type or 'none'}."
        )
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {limit} bytes.")
