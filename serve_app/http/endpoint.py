"""An endpoint: how it is reached, and what the API's document says of it. Declared in `app`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve_app.http.parsing import StrictObject

JSON, TEXT = "application/json", "text/plain"


@dataclass(frozen=True)
class Endpoint:
    """One path and one method. The handler's name is the operation's id in the document, and the
    first paragraph of its docstring the summary; what follows is the description."""

    method: str
    path: str
    """As Starlette writes it."""
    handler: Callable[[Request], Awaitable[Response]]
    tag: str
    request: type[StrictObject] | None = None
    """What validates the body."""
    answer: Any = str
    """The type of a 200's body; `str` is what no type describes."""
    event: Any = None
    """The type of one event of a stream, for what can be streamed."""
    queued: bool = False
    """Whether it waits for an engine: it then takes a class and a deadline, and tells the wait."""
    media_types: tuple[str, ...] = (JSON,)
    """Of a 200."""
    also: tuple[tuple[int, Any], ...] = ()
    """Bodies of other statuses that are no errors."""
    refuses: tuple[int, ...] = ()
    """Statuses of errors beyond those that its kind of endpoint has anyway."""
    aliases: tuple[str, ...] = ()
    """Other paths of the same."""
    is_open: bool = False
    """Whether it needs no key; `auth.OPEN_PATHS` is what lets requests through."""
    tells_more: bool = False
    """Whether, being open, it tells more to who has a key."""

    @property
    def paths(self) -> tuple[str, ...]:
        """All its paths."""
        return (self.path, *self.aliases)

    @property
    def routes(self) -> list[Route]:
        """Where Starlette finds it."""
        return [Route(path, self.handler, methods=[self.method]) for path in self.paths]
