"""The `log:` section of the configuration: what is logged, and how.

log: {level: info, format: json}
"""

import os
import sys
from typing import Literal

from deployments.logs import LogOptions
from serve_app.section import Section


class LogConfig(Section):
    """The server's log, which goes to standard error; docs/logs.md has its fields."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """What matters less is not logged."""
    format: Literal["auto", "json", "console"] = "auto"
    """An object in each line, or for people; by itself for people where the launcher has a
    terminal."""
    requests: bool = True
    """Whether each request gets a line, of the level that its outcome has."""
    exception_messages: bool = False
    """Whether errors of ours are logged with their messages, which may quote what clients sent."""

    @property
    def options(self) -> LogOptions:
        """What any process needs to know of it, be it one that has no terminal."""
        is_terminal = sys.stderr.isatty()
        console = self.format == "console" or (self.format == "auto" and is_terminal)
        return LogOptions(
            self.level,
            "console" if console else "json",
            colors=console and is_terminal and not os.environ.get("NO_COLOR"),
            exception_messages=self.exception_messages,
        )
