"""Ray's metrics, made for `RayExport`."""

from ray.util import metrics

from deployments.metering.ray_export import Counter, Gauge


class RayRegistry:
    """Of this process; Ray adds `ray_` to every name, and `_total` to a counter's that lacks it."""

    def counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        counter: Counter = metrics.Counter(name, text, labels)
        return counter

    def gauge(self, name: str, text: str, labels: tuple[str, ...]) -> Gauge:
        gauge: Gauge = metrics.Gauge(name, text, labels)
        return gauge
