"""What a router replica tells Ray's metrics endpoint."""

from collections.abc import Mapping

import pytest

from deployments.metering import families
from deployments.metering.histogram import Histogram
from deployments.metering.ray_export import Counter, Gauge, Publishing, RayExport
from deployments.metering.sample import Sample, Snapshot
from tests.unit.fakes import until

Tags = Mapping[str, str]


class FakeMetric:
    """A counter or a gauge of Ray's, as strict as that."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        self._labels = labels
        self.told: list[tuple[float, Tags]] = []

    def inc(self, value: float, tags: dict[str, str]) -> None:
        assert value > 0
        self.set(value, tags)

    def set(self, value: float, tags: dict[str, str]) -> None:
        assert tuple(tags) == self._labels
        self.told.append((value, tags))


class FakeRegistry:
    """Keeps all that is told, by name."""

    def __init__(self) -> None:
        self.metrics: dict[str, FakeMetric] = {}
        self.error: Exception | None = None

    def counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        if self.error is not None:
            raise self.error
        return self._made(name, labels)

    def gauge(self, name: str, text: str, labels: tuple[str, ...]) -> Gauge:
        return self._made(name, labels)

    def _made(self, name: str, labels: tuple[str, ...]) -> FakeMetric:
        assert ":" not in name
        assert name not in self.metrics
        self.metrics[name] = FakeMetric(labels)
        return self.metrics[name]


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def export(registry: FakeRegistry) -> RayExport:
    return RayExport(registry)


def of(*samples: Sample) -> list[Snapshot]:
    return [Snapshot("me", list(samples))]


def test_a_counter_tells_by_how_much_it_has_grown(
    registry: FakeRegistry, export: RayExport
) -> None:
    for value in (0, 3, 3, 10):
        export.publish(of(Sample(families.GENERATION_TOKENS, value, ("small",))))
    tags = {"replica": "me", "model_name": "small"}
    assert registry.metrics["vllm_generation_tokens_total"].told == [(3, tags), (7, tags)]


def test_each_series_of_a_counter_grows_by_itself(
    registry: FakeRegistry, export: RayExport
) -> None:
    for _ in range(2):
        export.publish(
            of(Sample(families.MOVES, 2, ("small",)), Sample(families.MOVES, 5, ("large",)))
        )
    [metric] = registry.metrics.values()
    assert [value for value, _ in metric.told] == [2, 5]


def test_a_gauge_tells_how_it_stands_also_when_it_has_not_moved(
    registry: FakeRegistry, export: RayExport
) -> None:
    """Ray drops one of which nothing is told."""
    for _ in range(2):
        export.publish(of(Sample(families.ENGINE_UP, True, ("small", "engine-1"))))
    tags = {"replica": "me", "model": "small", "engine": "engine-1"}
    assert registry.metrics["sluice_engine_up"].told == [(1.0, tags)] * 2


def test_what_engines_say_of_themselves_has_who_heard_it(
    registry: FakeRegistry, export: RayExport
) -> None:
    export.publish(of(Sample(families.RUNNING, 4, ("small", "engine-1"))))
    [(value, tags)] = registry.metrics["vllm_num_requests_running"].told
    assert (value, tags["replica"]) == (4, "me")


def test_a_histogram_tells_its_sum_and_its_count(registry: FakeRegistry, export: RayExport) -> None:
    seconds = Histogram(families.COARSE_S)
    for value in (0.5, 2.0):
        seconds.observe(value)
        export.publish(of(Sample(families.LOOP_LAG, seconds)))
    told = {name: [value for value, _ in each.told] for name, each in registry.metrics.items()}
    assert told == {
        "sluice_event_loop_lag_seconds_sum": [0.5, 2.0],
        "sluice_event_loop_lag_seconds_count": [1, 1],
    }


def test_tenants_are_not_told_to_who_has_no_key(registry: FakeRegistry, export: RayExport) -> None:
    export.publish(of(Sample(families.TENANT_PROMPT_TOKENS, 4, ("small", "acme"))))
    assert not registry.metrics


async def test_it_is_published_until_it_is_closed(
    registry: FakeRegistry, export: RayExport
) -> None:
    publishing = Publishing(export, lambda: of(Sample(families.MOVES, 1, ("small",))))
    await until(lambda: registry.metrics, "it is published")
    await publishing.close()


async def test_what_goes_wrong_with_it_is_logged_once_and_ends_nothing_else(
    registry: FakeRegistry, export: RayExport, caplog: pytest.LogCaptureFixture
) -> None:
    registry.error = ValueError("no such tag")
    publishing = Publishing(export, lambda: of(Sample(families.MOVES, 1, ("small",))))
    await until(lambda: caplog.records, "it is logged")
    await publishing.close()
    assert len(caplog.records) == 1
