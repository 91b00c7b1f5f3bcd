"""What the server measured, beside what Locust's users saw."""

from dataclasses import dataclass, field

import pytest

from bench.locust.names import ITL, TTFT
from bench.locust.server_side import ServerSide, histograms
from deployments.metering import families
from deployments.metering.exposition import page
from deployments.metering.families import Family
from deployments.metering.histogram import Histogram
from deployments.metering.sample import Sample, Snapshot


@dataclass
class Entry:
    """Locust's, as far as it is looked at."""

    response_times: dict[float, int] = field(default_factory=dict)

    @property
    def num_requests(self) -> int:
        return sum(self.response_times.values())

    @property
    def total_response_time(self) -> float:
        return sum(time * count for time, count in self.response_times.items())


class FakeServer:
    """Answers a scrape."""

    def __init__(self) -> None:
        self.replicas: dict[str, dict[tuple[Family, tuple[str, ...]], Histogram]] = {"a": {}}

    def observes(
        self, family: Family, seconds: float, *labels: str, times: int = 1, replica: str = "a"
    ) -> None:
        series = self.replicas.setdefault(replica, {})
        histogram = series.setdefault((family, labels), Histogram(family.bounds))
        histogram.observe(seconds, times)

    def scraped(self) -> str:
        snapshots = [
            Snapshot(name, [Sample(family, value, labels) for (family, labels), value in series])
            for name, of_replica in self.replicas.items()
            for series in [of_replica.items()]
        ]
        return page(snapshots).decode()


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


def test_only_what_came_after_the_beginning_counts(server: FakeServer) -> None:
    server.observes(families.TIME_TO_FIRST_TOKEN, 9.0, "m", "true", times=100)
    beside = ServerSide(server.scraped, "m")
    beside.begin()
    server.observes(families.TIME_TO_FIRST_TOKEN, 0.1, "m", "true", times=10)
    [_, _, row, *_] = beside.rows({})
    assert row[:3] == ["TTFT by the server", "10", "100"]
    assert all(80 <= float(figure) <= 100 for figure in row[3:])  # within the bucket's bounds


def test_replicas_and_classes_are_one(server: FakeServer) -> None:
    beside = ServerSide(server.scraped, "m")
    for replica in ("a", "b"):
        for level in ("interactive", "batch"):
            server.observes(families.QUEUE_TIME, 0.2, "m", level, "true", replica=replica)
        server.observes(families.TIME_TO_FIRST_TOKEN, 0.5, "m", "true", replica=replica)
    rows = {name: count for name, count, *_ in beside.rows({})}
    assert (rows["TTFT by the server"], rows["TTFT queue"]) == ("2", "4")


def test_models_that_nobody_asked_do_not_count(server: FakeServer) -> None:
    server.observes(families.INTER_TOKEN_LATENCY, 0.1, "m", "true")
    server.observes(families.INTER_TOKEN_LATENCY, 7.0, "other", "true", times=9)
    [found] = histograms(server.scraped(), "m").values()
    assert found.count == 1
    assert found.sum == pytest.approx(0.1)


def test_a_model_that_nobody_has_asked_yet_is_not_taken_for_all(server: FakeServer) -> None:
    server.observes(families.INTER_TOKEN_LATENCY, 7.0, "other", "true", times=9)
    server.observes(families.ENGINE_TIME, 7.0, "m", "standard", "false")
    found = histograms(server.scraped(), "m")
    assert found["vllm:inter_token_latency_seconds"].count == 0


def test_answers_that_are_not_streamed_do_not_count(server: FakeServer) -> None:
    server.observes(families.INTER_TOKEN_LATENCY, 0.1, "m", "true")
    server.observes(families.INTER_TOKEN_LATENCY, 7.0, "m", "false", times=9)
    [found] = histograms(server.scraped(), "m").values()
    assert found.count == 1
    assert found.sum == pytest.approx(0.1)


def test_a_server_that_does_not_tell_them_apart_has_all_counted() -> None:
    name = "vllm:time_to_first_token_seconds"
    rows = [("bucket", 'le="1.0",', 3), ("bucket", 'le="+Inf",', 4), ("sum", "", 5)]
    lines = [f'{name}_{kind}{{{bound}model_name="m"}} {value}' for kind, bound, value in rows]
    [found] = histograms("\n".join([f"# TYPE {name} histogram", *lines, ""]), "m").values()
    assert (found.count, found.sum) == (4, 5)


def test_of_an_adapter_all_models_are_told(server: FakeServer) -> None:
    server.observes(families.INTER_TOKEN_LATENCY, 0.1, "its-model", "true")
    [found] = histograms(server.scraped(), "adapter").values()
    assert found.count == 1


def test_a_percentile_lies_within_the_bucket_that_has_it(server: FakeServer) -> None:
    for number in range(1, 1001):
        server.observes(families.TIME_TO_FIRST_TOKEN, number / 1000, "m", "true")
    [found] = histograms(server.scraped(), "m").values()
    for percent in (50, 95, 99):
        assert found.percentile(percent) == pytest.approx(percent / 100, rel=0.02)


def test_what_is_above_all_bounds_is_told_as_the_highest(server: FakeServer) -> None:
    server.observes(families.TIME_TO_FIRST_TOKEN, 1e6, "m", "true")
    [found] = histograms(server.scraped(), "m").values()
    assert found.percentile(50) == families.FIRST_S[-1]


def test_clients_of_all_kinds_are_one_in_the_servers_buckets(server: FakeServer) -> None:
    beside = ServerSide(server.scraped, "m")
    kept = {("Chat", TTFT): Entry({10.0: 90}), ("Completion", TTFT): Entry({31.0: 10})}
    server.observes(families.TIME_TO_FIRST_TOKEN, 0.010, "m", "true", times=90)
    server.observes(families.TIME_TO_FIRST_TOKEN, 0.031, "m", "true", times=10)
    _, clients, theirs = beside.rows({**kept, ("Chat", ITL): Entry({5.0: 7})})
    assert clients[0] == "TTFT seen by clients"
    assert clients[1:] == theirs[1:]
    assert clients[1:3] == ["100", "12.1"]


def test_what_nobody_saw_has_no_figures(server: FakeServer) -> None:
    server.observes(families.TIME_TO_FIRST_TOKEN, 1.0, "m", "true")
    [_, clients, _] = ServerSide(server.scraped, "m").rows({})
    assert clients == ["TTFT seen by clients", "0", "-", "-", "-", "-"]
