"""The Dockerfile, as far as that can be known without Docker."""

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.support.server import ROOT

LINES = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
COPIES = [line.split()[1:-1] for line in LINES if re.match(r"COPY (?!--from)", line)]
SOURCES = [source for copy in COPIES for source in copy]
IGNORED = [
    line
    for line in (ROOT / ".dockerignore").read_text().splitlines()
    if line and not line.startswith("#")
]


def test_hadolint_has_nothing_to_say() -> None:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [program, "--no-color", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_copied_is_there_and_not_ignored(source: str) -> None:
    assert (ROOT / source).exists()
    verdict = [line.startswith("!") for line in IGNORED if fnmatch(source, line.lstrip("!"))]
    assert verdict[-1]


def test_only_what_is_copied_is_sent_to_docker() -> None:
    assert IGNORED[0] == "*"
    assert {line[1:] for line in IGNORED if line.startswith("!")} == set(SOURCES)


def test_what_it_makes_can_be_made() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    runs = " ".join(line for line in LINES if line.startswith("RUN "))
    made = set(re.findall(r"\bmake (\w+)", runs.replace("--no-install-recommends make", "")))
    assert made == {"setup"}
    assert made <= targets


def test_it_runs_as_somebody_who_is_not_root() -> None:
    assert [line for line in LINES if line.startswith("USER ")] == ["USER 1000:1000"]


def test_its_python_is_the_one_that_the_project_needs() -> None:
    [python] = [line for line in LINES if line.startswith("ARG PYTHON=")]
    assert python.startswith("ARG PYTHON=3.11.")
