from pathlib import Path

import pytest

from bench.locust.slo import Objective, judge, read

YAML = """
objectives:
  - {entry: TTFT Chat, percentile: 95, limit_ms: 500}
  - {entry: answer Chat, failure_share: 0.1, refused_share: 0.25}
  - {entry: tok/s Chat, percentile: 5, at_least: 20}
"""
TOML = """
[[objectives]]
entry = "TTFT Chat"
percentile = 95
limit_ms = 500
"""


class Entry:
    def __init__(self, num_requests: int, fail_ratio: float = 0.0, value: float = 0.0) -> None:
        self.num_requests, self.fail_ratio, self.value = num_requests, fail_ratio, value

    def get_response_time_percentile(self, percent: float) -> float:
        return self.value * percent


def written(directory: Path, text: str, name: str = "slo.yaml") -> Path:
    path = directory / name
    path.write_text(text)
    return path


def held(objectives: list[Objective], **entries: Entry) -> list[bool]:
    named = {name.replace("_", " ").replace("toks", "tok/s"): one for name, one in entries.items()}
    return [verdict.held for verdict in judge(objectives, named)]


def test_every_bound_is_judged_by_itself(tmp_path: Path) -> None:
    objectives = read(written(tmp_path, YAML))
    entries = {
        "TTFT_Chat": Entry(10, value=500),
        "answer_Chat": Entry(30, 0.2),
        "refused_Chat": Entry(10),
        "toks_Chat": Entry(10, value=300),
    }
    assert held(objectives, **entries) == [True, False, True, False]


def test_what_nobody_measured_is_a_breach(tmp_path: Path) -> None:
    objectives = read(written(tmp_path, TOML, "slo.toml"))
    assert held(objectives) == held(objectives, TTFT_Chat=Entry(0)) == [False]


def test_a_verdict_says_what_was_found_and_what_was_wanted(tmp_path: Path) -> None:
    objectives = read(written(tmp_path, TOML, "slo.toml"))
    (verdict,) = judge(objectives, {"TTFT Chat": Entry(10, value=1000)})
    assert str(verdict) == "SLO BREACHED  TTFT Chat p95 950 ms, at most 500 ms"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("objectives: []", "objectives: List should have at least 1 item"),
        ("objectives: [{entry: TTFT Chat}]", "it bounds nothing"),
        ("objectives: [{entry: TTFT Chat, percentile: 50}]", "percentile goes with limit_ms"),
        ("objectives: [{entry: TTFT Chat, limit_ms: 50}]", "percentile goes with limit_ms"),
        ("objectives: [{entry: a, failure_share: 2}]", "objectives.0.failure_share"),
        ("objectives: [{entry: a, limits: 2}]", "objectives.0.limits"),
        ("objectives: [", "slo.yaml: while parsing"),
        ("", "the file: Input should be a valid dictionary"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"slo\.yaml") as refused:
        read(written(tmp_path, text))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
