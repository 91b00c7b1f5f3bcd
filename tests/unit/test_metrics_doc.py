"""docs/metrics.md lists the metrics that there are, and no others."""

import re

from deployments.metering.families import FAMILIES
from tests.support.server import ROOT

PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_every_metric_has_its_row_and_every_row_its_metric() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| (\w+) \| ([^|]*) \| (.+) \|$", PAGE, re.MULTILINE)
    documented = [
        (name, kind, tuple(re.findall(r"`(\w+)`", names)), text) for name, kind, names, text in rows
    ]
    assert documented == [(each.name, each.kind, each.labels, each.help) for each in FAMILIES]


def test_names_say_their_kind() -> None:
    for family in FAMILIES:
        assert family.name.endswith("_total") == (family.kind == "counter")
        assert bool(family.bounds) == (family.kind == "histogram")
