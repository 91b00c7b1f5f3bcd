"""A trace's context as it goes to an engine, in W3C's words; and what makes it."""

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from deployments.ticket import Hop, Ticket


class Context(NamedTuple):
    """Only of what is sampled: nothing of the rest goes to engines."""

    traceparent: str | None = None
    tracestate: str | None = None


NONE = Context()


class Trace(Protocol):
    """A request that is traced."""

    def placed(self, ticket: "Ticket", hop: "Hop") -> Context:
        """One of its sequences goes to an engine; what the engine gets of the trace."""
