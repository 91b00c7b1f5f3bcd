"""What replicas write, as it comes to the launcher's own standard error.

Ray collects it from all nodes and would print it as it is: with what Serve tells of itself at each
start, and with what libraries write past every log.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
_BEGINNING = '{"timestamp":'
"""Of each line of ours in JSON."""

_Stream = tuple[Any, Any, Any]
"""Address, process, and whether it is standard error."""


class Terminal:
    """Prints what comes from replicas: of JSON every line is an object."""

    def __init__(self, options: LogOptions, file: TextIO | None = None) -> None:
        self._is_json = options.format == "json"
        self._file = file or sys.stderr
        self._begun: dict[_Stream, str] = {}
        """By stream, a line of which so far only the beginning has come."""

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
            stream = (batch.get("ip"), batch.get("pid"), batch.get("is_err"))
            lines = list(self._objects(stream, who, lines))
        self._file.write("".join(f"{line}\n" for line in lines))
        self._file.flush()

    def _objects(self, stream: _Stream, who: str, lines: Iterable[str]) -> Iterator[str]:
        """The lines of a stream as objects, those made whole that Ray has cut in two.

        It reads the files that processes write to, and a file grows page by page: of a line across
        two pages it may see the beginning before the rest is there, and gives it as a line.
        """
        for line in lines:
            begun = self._begun.pop(stream, "")
            if begun and not _is_object(begun + line):
                yield _wrapped(begun, who)
                begun = ""
            line = begun + line
            if _is_object(line):
                yield line
            elif _may_be_begun(line):
                self._begun[stream] = line
            else:
                yield _wrapped(line, who)


def _may_be_begun(line: str) -> bool:
    return line.startswith(_BEGINNING) or _BEGINNING.startswith(line)


def _is_object(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


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
