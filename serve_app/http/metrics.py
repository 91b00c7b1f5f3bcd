"""GET /metrics, and the counting of requests for it."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.metering import families
from deployments.metering.exposition import CONTENT_TYPE
from deployments.metering.histogram import Histogram
from deployments.metering.sample import Sample
from serve_app.http.auth import check_metrics
from serve_app.http.endpoint import Endpoint
from serve_app.http.service import Service

OTHER = "other"
"""What is no endpoint, or never came so far as to be one: a request without a key."""
_LEFT = 499  # nginx's word for it


async def get_metrics(request: Request) -> Response:
    """The metrics of all router replicas and engines, in Prometheus' text format.

    For keys with `metrics` or `admin`: it names every model and every tenant.
    """
    check_metrics(request)
    service: Service = request.app.state.service
    content = await service.metrics.scrape()
    return Response(content, headers={"content-type": CONTENT_TYPE})


class Requests:
    """How long requests took, by endpoint and status."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, int], Histogram] = {}

    def ended(self, endpoint: str, status: int, seconds: float) -> None:
        """Count one."""
        histogram = self._seconds.get((endpoint, status))
        if histogram is None:
            histogram = self._seconds[endpoint, status] = Histogram(families.HTTP_REQUESTS.bounds)
        histogram.observe(seconds)

    def samples(self) -> Iterator[Sample]:
        """All of them."""
        for (endpoint, status), seconds in self._seconds.items():
            yield Sample(families.HTTP_REQUESTS, seconds, (endpoint, str(status)))


class Counting:
    """Counts every request, also those that are refused further in. Pure ASGI."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        requests: Requests,
        endpoints: Iterable[Endpoint],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._requests = requests
        self._paths: Mapping[Any, str] = {each.handler: each.path for each in endpoints}
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began, status = self._now(), _LEFT

        def noting(message: Message) -> Any:  # no coroutine of its own: tokens pass here
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        try:
            await self._app(scope, receive, noting)
        except asyncio.CancelledError:
            status = _LEFT
            raise
        except Exception:
            status = 500
            raise
        finally:
            endpoint = self._paths.get(scope.get("endpoint"), OTHER)
            self._requests.ended(endpoint, status, self._now() - began)
        return None
