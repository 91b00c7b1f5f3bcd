"""Who asks: every request passes here before any route, and only who is known gets further.

A server with keys takes `Authorization: Bearer <key>`. One without is open, to its own machine
only: Serve's command line may bind any address, so that is decided here, by the connection. A
connection without an address is not local: Serve opens TCP ports only, and one that has an address
no more is already gone. What came through a proxy is not local either, whatever the proxy says of
where it began: uvicorn would take a client's own X-Forwarded-For for its address from those whom
FORWARDED_ALLOW_IPS trusts. HAProxy adds no such header, and connects to a replica from the node's
address; `launch` binds it to loopback when there are no keys, and refuses it under Serve's own
command line.
"""

import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.errors import BadRequest, Forbidden, ModelNotFound, Unauthorized
from deployments.scheduling.terms import Level, Terms
from serve_app.access import ANONYMOUS, Client, Keys
from serve_app.http import docs_page, errors
from serve_app.http.record import record_in, record_of
from serve_app.http.service import Service

OPEN_PATHS = frozenset({"/health", "/ready", "/openapi.json"}) | docs_page.PATHS
CLASS_HEADER = "x-sluice-class"
DEADLINE_HEADER = "x-sluice-deadline-ms"
MAX_DEADLINE_MS = 86_400_000

_LEVELS = {level.name.lower(): level for level in Level}
_TIERS = {"fast": Level.INTERACTIVE, "flex": Level.BATCH, "priority": Level.INTERACTIVE}
"""What OpenAI's service tiers ask for; the others ask for what the key has anyway."""
_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for"})
_NO_KEY = "Send your API key in a header: Authorization: Bearer <key>"
_NOT_LOCAL = (
    "This server has no API keys and answers its own machine only, directly and without a proxy. "
    "Whoever runs it can make keys: python -m serve_app.keys new"
)


def _now() -> datetime:
    return datetime.now(UTC)


class Auth:
    """Lets a request through with its client in the state, and without its Authorization header.

    `keys` is None for a server that is open to its own machine.
    """

    def __init__(
        self, app: ASGIApp, *, keys: Keys | None, now: Callable[[], datetime] = _now
    ) -> None:
        self._app = app
        self._keys = keys
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # nothing here speaks it
            await send({"type": "websocket.close"})
            return
        if scope["type"] == "http":
            credentials = _take_credentials(scope)
            client = None
            try:
                client = await self._client(scope, credentials)
            except Unauthorized as exc:
                if not _is_open(scope):
                    response = await errors.on_sluice_error(Request(scope), exc)
                    await response(scope, receive, send)
                    return
            if client is not None:
                record = record_in(scope)
                record.tenant, record.key_id = client.tenant, client.key_id
            scope["state"] = {**scope.get("state", {}), "client": client}
        await self._app(scope, receive, send)

    async def _client(self, scope: Scope, credentials: list[bytes]) -> Client:
        if self._keys is None:
            if not _is_local(scope):
                raise Unauthorized(_NOT_LOCAL, code="local_only")
            return ANONYMOUS
        if not credentials:
            raise Unauthorized(_NO_KEY, code="missing_api_key")
        scheme, _, key = credentials[0].decode("latin-1").partition(" ")
        if len(credentials) > 1 or scheme.lower() != "bearer":
            raise Unauthorized(_NO_KEY)
        return await self._keys.authenticate(key.strip(), self._now())


def _take_credentials(scope: Scope) -> list[bytes]:
    """The Authorization headers, which nothing further in can log any more."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    taken = [value for name, value in headers if name.lower() == b"authorization"]
    if taken:
        scope["headers"] = [header for header in headers if header[0].lower() != b"authorization"]
    return taken


def _is_open(scope: Scope) -> bool:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) in OPEN_PATHS


def _is_local(scope: Scope) -> bool:
    """Whether a request comes from this machine, and from no website in a browser on it."""
    for name, value in scope["headers"]:
        if name.lower() in _FORWARDED:
            return False
        if name.lower() == b"origin" and not _is_local_origin(value.decode("latin-1")):
            return False
    client = scope.get("client") or [""]
    return _is_loopback(client[0])


def _is_local_origin(origin: str) -> bool:
    try:
        host = urlsplit(origin).hostname or ""
    except ValueError:
        return False
    return host == "localhost" or host.endswith(".localhost") or _is_loopback(host)


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def known_client(request: Request) -> Client | None:
    """Who asks, or None: on an open path it may be anybody."""
    client: Client | None = request.state.client
    return client


def client_of(request: Request) -> Client:
    """Who asks; raises Unauthorized on an open path when nobody knows."""
    client = known_client(request)
    if client is None:
        raise Unauthorized(_NO_KEY, code="missing_api_key")
    return client


def check_model(request: Request, model: str) -> None:
    """Raises ModelNotFound for a model that the client may not use, as for one that is not."""
    if not client_of(request).may_use(model):
        raise ModelNotFound(f"The model '{model}' does not exist.", param="model")


def check_admin(request: Request) -> None:
    """Raises Forbidden for a client that may not change what the server serves."""
    if not client_of(request).admin:
        raise Forbidden(
            "This API key may not do this: it has no 'admin' in the server's configuration.",
            code="admin_required",
        )


def check_metrics(request: Request) -> None:
    """Raises Forbidden for a client that may not read what others' requests have come to."""
    client = client_of(request)
    if not (client.metrics or client.admin):
        raise Forbidden(
            "This API key may not do this: it has no 'metrics' in the server's configuration.",
            code="metrics_required",
        )


def level_of(request: Request, tier: str | None = None) -> Level:
    """The class that the request asks for, by header or by service tier, or its key's first.

    Raises BadRequest or Forbidden.
    """
    client = client_of(request)
    by_tier = _TIERS.get(tier or "")
    name = _header(request, CLASS_HEADER)
    if name is None:
        return client.classes[0] if by_tier is None else _allowed(client, by_tier, "service_tier")
    if name not in _LEVELS:
        raise _bad_header(CLASS_HEADER, f"one of {', '.join(_LEVELS)}")
    if by_tier not in (None, _LEVELS[name]):
        raise BadRequest(
            f"'service_tier' must not ask for another class than the header {CLASS_HEADER}.",
            param="service_tier",
        )
    return _allowed(client, _LEVELS[name], CLASS_HEADER)


def _allowed(client: Client, level: Level, param: str) -> Level:
    if level not in client.classes:
        allowed = ", ".join(each.name.lower() for each in client.classes)
        raise Forbidden(
            f"This API key may not use the class {level.name.lower()}. It may use: {allowed}.",
            param=param,
            code="class_not_allowed",
        )
    return level


def terms_of(
    request: Request,
    model: str,
    *,
    tier: str | None = None,
    priority: int = 0,
    streamed: bool = False,
) -> Terms:
    """On which terms the request is served by `model`. Raises BadRequest or Forbidden."""
    service: Service = request.app.state.service
    client = client_of(request)
    record = record_of(request)
    record.level = level = level_of(request, tier)
    deadline = _header(request, DEADLINE_HEADER)
    return Terms(
        tenant=client.tenant,
        weight=client.weight,
        level=level,
        deadline_s=(
            service.deadlines_for(model).get(level) if deadline is None else _deadline_s(deadline)
        ),
        cache_salt=None if service.share_prefix_cache else client.cache_salt,
        priority=priority,
        streamed=streamed,
        due_since=record.due_since,
    )


def _deadline_s(value: str) -> float:
    # The length first: int() of a very long number is slow, and of a longer one an error.
    if len(value) <= len(str(MAX_DEADLINE_MS)) and value.isascii() and value.isdecimal():
        milliseconds = int(value)
        if 1 <= milliseconds <= MAX_DEADLINE_MS:
            return milliseconds / 1000
    raise _bad_header(DEADLINE_HEADER, f"a whole number from 1 to {MAX_DEADLINE_MS}")


def _header(request: Request, name: str) -> str | None:
    values = request.headers.getlist(name)
    if len(values) > 1:
        raise _bad_header(name, "sent once")
    return values[0] if values else None


def _bad_header(name: str, wanted: str) -> BadRequest:
    return BadRequest(f"The header {name} must be {wanted}.", param=name)
