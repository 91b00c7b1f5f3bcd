"""Reads the tables of docs/api.md, which the tests hold against what the server does."""

import json
import re
from typing import Any

from tests.support.server import ROOT

PAGE = ROOT / "docs" / "api.md"
_HEADING = re.compile(r"#+ ")
_CELLS = re.compile(r"(?<!\\)\|")

Row = dict[str, str]


def table(heading: str) -> list[Row]:
    """The rows of the first table under the heading that begins with `heading`, by column."""
    lines = iter(PAGE.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if _HEADING.match(line) and _HEADING.sub("", line, count=1).startswith(heading):
            break
    else:
        raise AssertionError(f"{PAGE.name} has no heading {heading!r}")
    rows = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip().replace("\\|", "|") for cell in _CELLS.split(line)[1:-1]])
        elif rows or _HEADING.match(line):
            break
    assert rows, f"no table under {heading!r}"
    columns, _, *body = rows
    return [dict(zip(columns, row, strict=True)) for row in body]


def fields_of(path: str) -> list[Row]:
    """The rows of an endpoint's fields."""
    return table(f"Fields of `POST {path}`")


def code(cell: str) -> str:
    """What stands in the cell's first pair of backticks."""
    found = re.search(r"`([^`]+)`", cell)
    assert found, f"no code in {cell!r}"
    return found[1]


def members(cell: str) -> dict[str, Any]:
    """The example of a row: members of a JSON object without its braces."""
    fields: dict[str, Any] = json.loads(f"{{{code(cell)}}}")
    return fields
