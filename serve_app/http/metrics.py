"""GET /metrics, and the counting of requests for it."""

from collections import Counter
from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response

from deployments.metering import families
from deployments.metering.exposition import CONTENT_TYPE
from deployments.metering.histogram import Histogram
from deployments.metering.sample import Sample
from serve_app.http.auth import check_metrics
from serve_app.http.record import Record
from serve_app.http.service import Service


async def get_metrics(request: Request) -> Response:
    """The metrics of all router replicas and engines, in Prometheus' text format.

    For keys with `metrics` or `admin`: it names every model and every tenant.
    """
    check_metrics(request)
    service: Service = request.app.state.service
    content = await service.metrics.scrape()
    return Response(content, headers={"content-type": CONTENT_TYPE})


class Requests:
    """How long requests took, by endpoint and status, and what errors they were answered with."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, int], Histogram] = {}
        self._errors = Counter[tuple[str, str]]()

    def ended(self, record: Record) -> None:
        """Count one."""
        key = record.endpoint, record.status
        histogram = self._seconds.get(key)
        if histogram is None:
            histogram = self._seconds[key] = Histogram(families.HTTP_REQUESTS.bounds)
        histogram.observe(record.ended - record.began)
        if record.error is not None:
            self._errors[record.endpoint, record.error] += 1

    def samples(self) -> Iterator[Sample]:
        """All of them."""
        for (endpoint, status), seconds in self._seconds.items():
            yield Sample(families.HTTP_REQUESTS, seconds, (endpoint, str(status)))
        for labels, count in self._errors.items():
            yield Sample(families.HTTP_ERRORS, count, labels)
