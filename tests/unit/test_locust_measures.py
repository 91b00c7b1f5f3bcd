"""Locust's own process against a server that pauses for known times."""

import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_app.environment import any_free_port
from tests.support import locusts, sse
from tests.support.server import ROOT
from tests.support.sse import FIRST_S, GAP_S, TOKENS, Slow

SHORT = ("--run-time", "3", "--think", "0.05", "--stop-timeout", "3")
TOLERANCE_MS = 15  # of a machine that does other things besides


@pytest.fixture
def slow() -> Iterator[Slow]:
    with sse.serving() as server:
        yield server


def check_times(figures: dict[str, str], slow: Slow) -> None:
    """What the client saw is what the server did, which is never less than its pauses."""
    for name, done, pause in (("TTFT", slow.ttft_s, FIRST_S), ("ITL", slow.itl_s, GAP_S)):
        seen, theirs = float(figures[f"{name} p50"]), 1e3 * statistics.median(done)
        assert seen == pytest.approx(theirs, rel=0.1, abs=TOLERANCE_MS)
        assert min(done) >= pause
    assert int(figures["tokens"]) == TOKENS * int(figures["answers"])


def test_what_is_measured_is_what_the_server_did(slow: Slow, tmp_path: Path) -> None:
    run = locusts.run(tmp_path, slow.url, "-u", "2", "--mix", "chat=1", *SHORT)
    assert run.code == 0, run.output
    check_times(run.figures["Chat"], slow)
    at_best = TOKENS / (FIRST_S + (TOKENS - 1) * GAP_S)
    assert at_best / 2 < float(run.figures["Chat"]["tok/s of one p50"]) <= at_best
    assert slow.keys == {f"Bearer {locusts.KEY}"}
    assert locusts.KEY not in run.output
    for file in tmp_path.iterdir():
        assert locusts.KEY not in file.read_text()


def test_an_open_loop_sends_at_its_rate_whatever_takes_how_long(slow: Slow, tmp_path: Path) -> None:
    run = locusts.run(tmp_path, slow.url, "--rate", "40", "--mix", "chat=1", *SHORT)
    assert run.code == 0, run.output
    # 40 a second at half a second each: twenty at once. 120 are expected, give or take 11.
    assert 75 <= int(run.figures["Chat"]["answers"]) <= 165
    assert int(run.figures["Chat"]["answers"]) == len(slow.seen) - 1  # one asked who generates


def test_a_trace_is_sent_as_it_stands(slow: Slow, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("arrival_s,tokens_in,tokens_out\n0.1,5,2\n0.2,6,3\n1.2,7,4\n")
    words = ("--model", "m", "--mix", "completion=1", "--stop-timeout", "3")
    run = locusts.run(tmp_path, slow.url, "--trace", str(trace), *words)
    assert run.code == 0, run.output
    sent = [(len(body["prompt"]), body["max_tokens"]) for body in slow.seen]
    assert sent == [(5, 2), (6, 3), (7, 4)]


def test_a_refusal_is_no_failure_and_is_minded(slow: Slow, tmp_path: Path) -> None:
    run = locusts.run(tmp_path, slow.url, "-u", "1", "--model", "busy", "--mix", "chat=1", *SHORT)
    assert run.code == 0, run.output
    assert run.figures["Chat"]["failed"] == "0"
    assert 2 <= int(run.figures["Chat"]["refused"]) <= 4  # one a second, as it was told


@pytest.mark.parametrize(
    ("model", "objective", "line", "code"),
    [
        ("m", "percentile: 95, limit_ms: 60000", "held      answer Chat p95", 0),
        ("m", "percentile: 95, limit_ms: 0.01", "BREACHED  answer Chat p95", 1),
        ("fails", "failure_share: 1", "held      answer Chat failed 100.00%", 0),
        ("busy", "failure_share: 1", "BREACHED  answer Chat: nothing measured", 1),
    ],
)
def test_objectives_are_judged_in_lines_and_set_the_exit_code(
    slow: Slow, tmp_path: Path, model: str, objective: str, line: str, code: int
) -> None:
    file = tmp_path / "slo.yaml"
    file.write_text(f"objectives: [{{entry: answer Chat, {objective}}}]")
    words = ("-u", "1", "--model", model, "--mix", "chat=1", "--slo", str(file))
    run = locusts.run(tmp_path, slow.url, *words, *SHORT)
    assert (run.code, f"SLO {line}" in run.output) == (code, True), run.output


def test_a_shape_says_how_many_users_there_are(slow: Slow, tmp_path: Path) -> None:
    words = ("--shape", "step", "-u", "5", "--low", "0.2", "--mix", "chat=1", "--think", "0")
    run = locusts.run(tmp_path, slow.url, *words, "--run-time", "5", "--stop-timeout", "3")
    assert run.code == 0, run.output
    counts = [
        users for users in range(1, 6) if f"Shape test updating to {users} users" in run.output
    ]
    assert counts[0] == 1
    assert len(counts) >= 3


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("fails", "answer Chat: stream engine_failed"),
        ("dies", "answer Chat: HTTPParseError"),
        ("bad", "answer Chat: 400 unsupported_task"),
    ],
)
def test_a_failure_is_named_by_the_servers_code(
    slow: Slow, tmp_path: Path, model: str, said: str
) -> None:
    run = locusts.run(tmp_path, slow.url, "-u", "1", "--model", model, "--mix", "chat=1", *SHORT)
    assert run.code == 1
    assert said in run.output


def test_what_workers_measure_arrives_at_their_master(slow: Slow, tmp_path: Path) -> None:
    port = str(any_free_port())
    worker = ["--worker", "--master-port", port]
    workers = [
        subprocess.Popen(
            locusts.command(*worker),
            cwd=ROOT,
            env=locusts.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    try:
        master = ["--master", "--master-bind-port", port, "--expect-workers", "2"]
        run = locusts.run(tmp_path, slow.url, *master, "--rate", "20", "--mix", "chat=1", *SHORT)
        codes = [one.wait(20) for one in workers]
    finally:
        for one in workers:
            one.kill()
            one.wait()
    assert (run.code, codes) == (0, [0, 0]), run.output
    check_times(run.figures["Chat"], slow)
    assert 30 <= int(run.figures["Chat"]["answers"]) <= 90


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mix", "cats=1"], "argument --mix: 'cats=1' is neither of"),
        (["--rate", "1"], "--run-time: is needed"),
        (["--model", "m", "--server-metrics", "here"], "--server-metrics: here is not like"),
        (
            ["--model", "m", "--mix", "chat=1", "--server-metrics", "http://127.0.0.1:9/metrics"],
            "--server-metrics: http://127.0.0.1:9/metrics: ",
        ),
        (["--mix", "embeddings=1"], "--embedding-model: no model of the server answers"),
    ],
)
def test_a_wrong_option_ends_it_with_one_line(
    slow: Slow, tmp_path: Path, words: list[str], said: str
) -> None:
    run = locusts.run(tmp_path, slow.url, *words)
    assert run.code != 0
    assert said in run.output.splitlines()[-1]
    assert "Traceback" not in run.output
