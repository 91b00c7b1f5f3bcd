"""From snapshots to what Prometheus reads, by prometheus_client."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from deployments.metering.families import FAMILIES, Family
from deployments.metering.histogram import Histogram
from deployments.metering.sample import Sample, Snapshot

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def page(snapshots: Iterable[Snapshot]) -> bytes:
    """The text of all of them, every metric once with the series of all replicas."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshots(snapshots))
    return generate_latest(registry)


class _Snapshots(Collector):
    def __init__(self, snapshots: Iterable[Snapshot]) -> None:
        self._series = defaultdict[Family, list[tuple[str, Sample]]](list)
        for snapshot in snapshots:
            for sample in snapshot.samples:
                self._series[sample.family].append((snapshot.replica, sample))

    def collect(self) -> Iterator[Metric]:
        for family in FAMILIES:
            if family in self._series:
                yield _metric(family, self._series[family])


def _metric(family: Family, series: Iterable[tuple[str, Sample]]) -> Metric:
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        for replica, sample in series:
            assert isinstance(sample.value, Histogram)
            if not any(sample.value.counts):
                continue  # a page of zeros for every class that nobody uses
            buckets = _buckets(family, sample.value)
            histogram.add_metric(_labels(family, replica, sample), buckets, sample.value.sum)
        return histogram
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for replica, sample in series:
        assert not isinstance(sample.value, Histogram)
        metric.add_metric(_labels(family, replica, sample), float(sample.value))
    return metric


def _labels(family: Family, replica: str, sample: Sample) -> list[str]:
    return [replica, *sample.labels] if family.by_replica else [*sample.labels]


def _buckets(family: Family, histogram: Histogram) -> list[tuple[str, float]]:
    names = [*map(floatToGoString, family.bounds), "+Inf"]
    return list(zip(names, accumulate(histogram.counts), strict=True))
