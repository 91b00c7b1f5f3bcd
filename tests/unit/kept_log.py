"""A log that is kept, for a test to read."""

import io
import json
from typing import Any


class KeptLog:
    """What has been written to `file`."""

    def __init__(self) -> None:
        self.file = io.StringIO()

    @property
    def text(self) -> str:
        return self.file.getvalue()

    @property
    def line(self) -> dict[str, Any]:
        """The only line, which is JSON."""
        [line] = self.text.splitlines()
        event: dict[str, Any] = json.loads(line)
        return event
