"""Reads what /metrics answers, as Prometheus does."""

from prometheus_client.parser import text_string_to_metric_families


class Exposition:
    """One answer."""

    def __init__(self, text: str) -> None:
        families = list(text_string_to_metric_families(text))
        names = [family.name for family in families]
        assert len(set(names)) == len(names)  # a metric that comes twice is none to Prometheus
        self._samples = [sample for family in families for sample in family.samples]

    def values(self, name: str, **labels: str) -> list[float]:
        """Of the series that have these labels, among others."""
        return [
            sample.value
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def labels(self, name: str) -> list[dict[str, str]]:
        """Of each series, without the replica's."""
        return [
            {key: value for key, value in sample.labels.items() if key != "replica"}
            for sample in self._samples
            if sample.name == name
        ]

    def sum(self, name: str, **labels: str) -> float:
        """Of all of them."""
        return sum(self.values(name, **labels))
