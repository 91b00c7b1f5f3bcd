"""The `http:` section of the configuration: where the server listens.

http: {host: 127.0.0.1, port: 8000}
"""

from typing import Annotated

from pydantic import Field, PositiveInt

from serve_app.section import Section


class HttpConfig(Section):
    """The HTTP front."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    max_body_bytes: PositiveInt = 2 * 1024 * 1024
    """A larger body gets 413."""
    keep_alive_timeout_s: PositiveInt = 90

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in {"127.0.0.1", "localhost", "::1"}
