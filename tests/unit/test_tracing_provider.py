"""What a process sends, to a real receiver."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from opentelemetry.trace import get_tracer_provider

from deployments.tracing import provider, starting
from deployments.tracing.provider import Tracing
from deployments.tracing.variables import BadVariableError
from tests.support import otlp
from tests.support.otlp import Received

RECEIVERS = {"http/protobuf": otlp.over_http, "grpc": otlp.over_grpc}
Receiver = Callable[[], AbstractContextManager[Received]]


@pytest.fixture(autouse=True)
def no_variables_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.fixture(params=RECEIVERS)
def given(request: pytest.FixtureRequest) -> Iterator[tuple[Received, dict[str, str]]]:
    """A receiver, and the variables that lead to it."""
    with RECEIVERS[request.param]() as received:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": request.param,
        }
        yield received, variables


def send_one(variables: dict[str, str], *, follows: bool = False) -> None:
    tracing = Tracing(variables, "replica-1", follows=follows)
    tracing.tracer.start_span("a").end()
    asyncio.run(tracing.close())


def test_a_span_is_received_with_who_sent_it(given: tuple[Received, dict[str, str]]) -> None:
    received, variables = given
    send_one(variables)
    [span] = received.spans
    assert span.name == "a"
    assert span.resource["service.name"] == "sluice"
    assert span.resource["service.instance.id"] == "replica-1"


def test_the_environment_says_more_of_it(given: tuple[Received, dict[str, str]]) -> None:
    received, variables = given
    attributes = "service.instance.id=mine,k8s.pod.name=a%20b"
    send_one({**variables, "OTEL_SERVICE_NAME": "chat", "OTEL_RESOURCE_ATTRIBUTES": attributes})
    resource = received.spans[0].resource
    assert resource["service.name"] == "chat"
    assert resource["service.instance.id"] == "mine"
    assert resource["k8s.pod.name"] == "a b"


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_headers_and_compression_are_kept_to(
    given: tuple[Received, dict[str, str]], compression: str
) -> None:
    received, variables = given
    more = {
        "OTEL_EXPORTER_OTLP_HEADERS": "x-key=k1",
        "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
    }
    send_one({**variables, **more})
    assert received.headers[0]["x-key"] == "k1"
    assert len(received.spans) == 1


def test_a_limit_of_the_sdks_is_kept_to(given: tuple[Received, dict[str, str]]) -> None:
    received, variables = given
    tracing = Tracing(
        {**variables, "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "3"}, "a", follows=False
    )
    tracing.tracer.start_span("a", attributes={"long": "abcdef"}).end()
    asyncio.run(tracing.close())
    assert received.spans[0].attributes == {"long": "abc"}


def test_one_that_follows_does_not_decide(given: tuple[Received, dict[str, str]]) -> None:
    received, variables = given
    never = {**variables, "OTEL_TRACES_SAMPLER": "always_off"}
    send_one(never)
    assert not received.spans
    send_one(never, follows=True)
    assert len(received.spans) == 1


def test_nothing_of_it_stays_in_the_environment_or_is_global(
    given: tuple[Received, dict[str, str]],
) -> None:
    _, variables = given
    before = get_tracer_provider()
    send_one(variables)
    assert get_tracer_provider() is before
    assert not [name for name in os.environ if name.startswith("OTEL_")]


def test_it_is_off_unless_wanted_and_then_starts_no_thread() -> None:
    threads = threading.active_count()
    assert starting.start(starting.of_this_node({}), "a", follows=False) is None
    assert threading.active_count() == threads


def test_a_nodes_own_variables_come_before_the_applications(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://here:4318")
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://there:4318", "OTEL_SERVICE_NAME": "chat"}
    assert starting.of_this_node(given) == {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://here:4318",
        "OTEL_SERVICE_NAME": "chat",
    }


def test_a_nodes_own_variables_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    with pytest.raises(BadVariableError, match="OTEL_TRACES_EXPORTER"):
        starting.of_this_node(None)


def test_a_receiver_that_does_not_answer_holds_no_process_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(provider, "FLUSH_S", 0.2)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        port = deaf.getsockname()[1]
        began = time.monotonic()
        send_one(
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
                "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
            }
        )
        assert time.monotonic() - began < 1
