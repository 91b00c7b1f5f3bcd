"""What the launcher's terminal shows of what replicas write."""

import io
import json
from typing import Any

import pytest

from deployments.logs import LogOptions
from serve_app.terminal import Terminal

ROUTER, CONTROLLER = "ServeReplica:sluice:router", "ServeController"
LINE = '{"event":"request"}'
BANNER = ["INFO 2026-11-26 11:04:12 serve 5655 -- Throughput optimized", "  * Direct ingress"]


def shown(form: str, actor: str | None, *lines: str, pid: int | str = 7) -> str:
    file = io.StringIO()
    batch: dict[str, Any] = {"lines": list(lines), "pid": pid, "actor_name": actor, "is_err": True}
    Terminal(LogOptions(format=form), file)(batch)
    return file.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
class TestALine:
    def test_of_a_replica_is_shown_as_it_is(self, form: str) -> None:
        assert shown(form, ROUTER, LINE, LINE) == f"{LINE}\n{LINE}\n"

    def test_that_is_empty_is_not(self, form: str) -> None:
        assert shown(form, ROUTER, "", " ") == ""

    def test_of_what_serve_tells_of_itself_is_not(self, form: str) -> None:
        assert shown(form, CONTROLLER, *BANNER) == ""

    def test_of_what_rays_autoscaler_sees_is_not(self, form: str) -> None:
        assert shown(form, None, "======== Autoscaler status", pid="autoscaler") == ""

    def test_of_what_goes_wrong_in_serve_is(self, form: str) -> None:
        wrong = "ERROR 2026-11-26 11:04:13 serve 5655 -- No."
        assert shown(form, CONTROLLER, *BANNER, wrong, *BANNER).count("No.") == 1
        assert "Traceback" in shown(form, CONTROLLER, "Traceback (most recent call last):")


def test_what_is_no_json_is_wrapped_where_all_is_json() -> None:
    event = json.loads(shown("json", ROUTER, 'CUDA says "no"'))
    assert (event["event"], event["level"]) == ('CUDA says "no"', "info")
    assert (event["logger"], event["process"]) == ("stderr", ROUTER)
    assert json.loads(shown("json", None, "raylet"))["process"] == "7"


def test_what_is_no_json_is_shown_as_it_is_to_people() -> None:
    assert shown("console", ROUTER, "CUDA says no") == "CUDA says no\n"
