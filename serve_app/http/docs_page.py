"""GET /docs: a page that shows the OpenAPI document, and sends requests to this server.

Swagger UI comes with the package fastapi_offline, of which nothing else is used. Nothing is
fetched from elsewhere, and the page may run no scripts but these.
"""

import asyncio
import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sluice API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="stylesheet" href="docs/page.css">
</head>
<body>
<div id="api"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/page.js"></script>
</body>
</html>
"""
_OWN = {
    "page.css": "body { margin: 0; }\n",
    "page.js": """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  validatorUrl: null,
});
""",
}
_SWAGGER_UI = frozenset({"swagger-ui.css", "swagger-ui-bundle.js"})
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript"}
_HEADERS: Mapping[str, str] = {
    # Swagger UI sets styles on elements; scripts come from here and nowhere else.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

PATHS = frozenset({"/docs", *(f"/docs/{name}" for name in (*_OWN, *_SWAGGER_UI))})
"""What the page is made of."""


async def show_docs(_: Request) -> Response:
    """A page that shows this document."""
    return Response(_PAGE, headers=_HEADERS, media_type="text/html")


async def get_docs_file(request: Request) -> Response:
    """A script or a style of the page."""
    name: str = request.path_params["file"]
    media_type = _MEDIA_TYPES.get(Path(name).suffix)
    if name in _OWN:
        return Response(_OWN[name], headers=_HEADERS, media_type=media_type)
    if name in _SWAGGER_UI:
        headers = {**_HEADERS, "Cache-Control": "public, max-age=3600"}
        content = await asyncio.to_thread(_swagger_ui, name)
        return Response(content, headers=headers, media_type=media_type)
    raise HTTPException(404)


@functools.cache
def _swagger_ui(name: str) -> bytes:
    package = importlib.util.find_spec("fastapi_offline")
    assert package is not None
    assert package.origin is not None
    return (Path(package.origin).parent / "static" / name).read_bytes()
