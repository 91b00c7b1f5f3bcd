"""OpenTelemetry's SDK as the environment configures it: one provider for a process.

Not the global one: Ray's and vLLM's own spans would go through that.
"""

import asyncio
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import DEFAULT_ON
from opentelemetry.trace import Tracer

from deployments.tracing import variables as otel

SCOPE = "sluice"
FLUSH_S = 3.0
"""How long a process that ends waits for its last spans to go out."""


class Tracing:
    """What makes spans in this process, and sends them from a thread of its own.

    To be made when the process has started what it starts: a thread does not survive a fork.
    """

    def __init__(self, variables: Mapping[str, str], instance: str, *, follows: bool) -> None:
        """`instance` is this replica's name. One that follows samples what another has sampled."""
        with _environment(variables):
            # Without OTEL_TRACES_SAMPLER the SDK's: it follows the client, and else samples all.
            self._provider = TracerProvider(
                sampler=DEFAULT_ON if follows else None,
                resource=_resource(instance),
                shutdown_on_exit=False,  # it may take half a minute
            )
            for exporter in _exporters(variables):
                self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer: Tracer = self._provider.get_tracer(SCOPE, _version())

    async def close(self) -> None:
        """Send what is left, for as long as one may wait for that."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, FLUSH_S)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """The SDK reads its variables where it is made, and some of them nowhere else."""
    before = otel.take(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        otel.take(os.environ)
        os.environ.update(before)


def _resource(instance: str) -> Resource:
    ours = {
        "service.name": SCOPE,
        "service.version": _version(),
        "service.instance.id": instance,
    }
    return Resource.create({**ours, **OTELResourceDetector().detect().attributes})


def _version() -> str:
    try:
        return version(SCOPE)
    except PackageNotFoundError:  # run from a checkout
        return ""


def _exporters(variables: Mapping[str, str]) -> Iterator[SpanExporter]:
    for name in otel.exporters(variables):
        yield ConsoleSpanExporter() if name == "console" else _otlp(variables)


def _otlp(variables: Mapping[str, str]) -> SpanExporter:
    if otel.protocol(variables) == otel.HTTP:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
        OTLPSpanExporter as GrpcSpanExporter,
    )

    if (otel.of_otlp(variables, "COMPRESSION") or "").strip().lower() == "none":
        for name in ("OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"):
            os.environ.pop(name, None)  # which this exporter does not know
    return GrpcSpanExporter()
