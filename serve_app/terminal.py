"""What replicas write, as it comes to the launcher's own standard error.

Ray collects it from all nodes and would print it as it is: with what Serve tells of itself at each
start, and with what libraries write past every log.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from deployments.logs import LogOptions

_REPLICA = "ServeReplica:"
_LEVELS = ("INFO ", "WARNING ", "ERROR ", "Traceback ")
_AUTOSCALER = "autoscaler"
_NO_NEWS = "Triton not available"
"""torch says so before anybody could keep it from it."""
_HANDLER = "ray_print_logs"
"""Ray's own, by the name under which it is taken away at the end."""


class Terminal:
    """Prints what comes from replicas: of JSON every line is an object."""

    def __init__(self, options: LogOptions, file: TextIO | None = None) -> None:
        self._is_json = options.format == "json"
        self._file = file or sys.stderr

    def attach(self) -> None:
        """In place of Ray's own printing. Call when Ray has been started."""
        from ray._private.ray_logging import global_worker_stdstream_dispatcher as dispatcher

        dispatcher.remove_handler(_HANDLER)
        dispatcher.add_handler(_HANDLER, self)

    def __call__(self, batch: Mapping[str, Any]) -> None:
        """Some lines of one process, as Ray gives them."""
        who = batch.get("actor_name") or str(batch.get("pid"))
        if who == _AUTOSCALER:
            return  # what it looks at every few seconds
        lines = [line for line in batch["lines"] if line.strip() and _NO_NEWS not in line]
        if not who.startswith(_REPLICA):
            lines = _of_some_weight(lines)
        if self._is_json:
            lines = [line if line.startswith("{") else _wrapped(line, who) for line in lines]
        self._file.write("".join(f"{line}\n" for line in lines))
        self._file.flush()


def _of_some_weight(lines: Sequence[str]) -> list[str]:
    """What Serve's own processes tell beside how they are; that is in their files."""
    kept, is_news = [], True
    for line in lines:
        if line.startswith(_LEVELS):
            is_news = not line.startswith("INFO ")
        if is_news:
            kept.append(line)
    return kept


def _wrapped(line: str, who: str) -> str:
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    event = {"timestamp": now, "level": "info", "event": line, "logger": "stderr", "process": who}
    return json.dumps(event)
