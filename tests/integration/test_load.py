"""Locust beside a real server, as `make load` has it."""

from pathlib import Path

import pytest

from tests.support import locusts, models
from tests.support.server import Server

AGREES_WITHIN, A_BUCKET = 0.1, 0.3
WORDS = (
    *("-u", "2", "-r", "2", "--run-time", "6", "--stop-timeout", "20", "--think", "0.1"),
    *("--lengths", "16x8", "--mix", "chat=1,embeddings=1"),
    *("--model", models.SMALL, "--embedding-model", models.EMBEDDER),
)


@pytest.mark.parametrize(("limit_ms", "code"), [(60_000, 0), (0.01, 1)])
def test_the_objectives_set_the_exit_code(
    server: Server, tmp_path: Path, limit_ms: float, code: int
) -> None:
    slo = tmp_path / "slo.yaml"
    slo.write_text(
        "objectives:\n"
        f"  - {{entry: TTFT Chat, percentile: 95, limit_ms: {limit_ms}}}\n"
        "  - {entry: answer Embeddings, failure_share: 0}\n"
    )
    run = locusts.run(tmp_path, server.url, *WORDS, "--slo", str(slo))
    assert run.code == code, run.output
    assert f"SLO {'BREACHED' if code else 'held    '}  TTFT Chat p95" in run.output
    assert "SLO held      answer Embeddings failed 0.00%" in run.output
    assert int(run.figures["Chat"]["answers"]) > 0
    assert float(run.figures["Chat"]["ITL p50"]) > 0
    names = {file.name for file in tmp_path.iterdir()}
    assert {"report.html", "load_stats.csv", "load_failures.csv", "load_tokens.csv"} <= names
    assert locusts.KEY not in run.output
    for file in tmp_path.iterdir():
        assert locusts.KEY not in file.read_text()


def test_what_clients_saw_is_what_the_server_says(server: Server, tmp_path: Path) -> None:
    words = (
        *("-u", "4", "-r", "4", "--run-time", "25", "--stop-timeout", "20", "--think", "0.2"),
        *("--lengths", "64x32", "--mix", "completion=1", "--ignore-eos", "--model", models.LARGE),
    )
    run = locusts.run(tmp_path, server.url, *words, "--server-metrics", f"{server.url}/metrics")
    assert run.code == 0, run.output
    for kind in ("TTFT", "ITL"):
        clients, theirs = (
            run.compared[f"{kind} {who}"] for who in ("seen by clients", "by the server")
        )
        assert clients["observed"] == theirs["observed"] != "0"
        for column, within in (("p50", AGREES_WITHIN), ("p95", A_BUCKET)):
            seen = pytest.approx(float(clients[column]), rel=within)
            assert float(theirs[column]) == seen, run.output
