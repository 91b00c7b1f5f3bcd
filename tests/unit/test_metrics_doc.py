"""docs/metrics.md lists the metrics that there are, and no others."""

import re
from dataclasses import replace

from deployments.autoscaling_metrics import DECISIONS, WANTED
from deployments.metering.families import FAMILIES
from tests.support.server import ROOT

ON_RAY = DECISIONS, WANTED
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_every_metric_has_its_row_and_every_row_its_metric() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| (\w+) \| ([^|]*) \| (.+) \|$", PAGE, re.MULTILINE)
    documented = [
        (name, kind, tuple(re.findall(r"`(\w+)`", names)), text) for name, kind, names, text in rows
    ]
    there = [*FAMILIES, *(replace(each, name=f"ray_{each.name}") for each in ON_RAY)]
    assert documented == [(each.name, each.kind, each.labels, each.help) for each in there]


def test_names_say_their_kind() -> None:
    for family in (*FAMILIES, *ON_RAY):
        assert family.name.endswith("_total") == (family.kind == "counter")
        assert bool(family.bounds) == (family.kind == "histogram")
