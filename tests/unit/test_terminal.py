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


class TestALineThatRayHasCut:
    WHOLE = '{"timestamp":"2026-11-26T16:56:35Z","event":"request","replica":"a"}'

    def cut(self, *batches: tuple[int, list[str]]) -> list[str]:
        file = io.StringIO()
        terminal = Terminal(LogOptions(format="json"), file)
        for pid, lines in batches:
            terminal({"lines": lines, "pid": pid, "actor_name": ROUTER, "is_err": True})
        return file.getvalue().splitlines()

    @pytest.mark.parametrize("at", range(1, len(WHOLE)))
    def test_is_shown_in_one_wherever_it_was_cut(self, at: int) -> None:
        first, rest = self.WHOLE[:at], self.WHOLE[at:]
        assert self.cut((7, [LINE, first]), (7, [rest, LINE])) == [LINE, self.WHOLE, LINE]
        assert self.cut((7, [first, rest])) == [self.WHOLE]

    def test_is_not_mixed_with_what_another_process_says(self) -> None:
        shown = self.cut((7, [self.WHOLE[:30]]), (8, [LINE]), (7, [self.WHOLE[30:]]))
        assert shown == [LINE, self.WHOLE]

    def test_is_shown_all_the_same_where_its_rest_never_comes(self) -> None:
        beginning, after = self.cut((7, [self.WHOLE[:30]]), (7, [LINE]))
        assert json.loads(beginning)["event"] == self.WHOLE[:30]
        assert after == LINE


def test_what_only_looks_like_json_is_wrapped_too() -> None:
    assert json.loads(shown("json", ROUTER, "{'a': 1}"))["event"] == "{'a': 1}"
