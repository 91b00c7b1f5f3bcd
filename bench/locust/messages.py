"""What goes out and what comes back."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    """What is sent."""

    path: str
    body: bytes
    stream: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back. Times by `time.perf_counter`."""

    sent_at: float
    done_at: float
    status: int = 0
    """0 when nothing came back."""
    arrivals: tuple[float, ...] = ()
    """When each event came that bears tokens."""
    tokens: int = 0
    prompt_tokens: int = 0
    text: str = ""
    error: str | None = None
    """Why it is no whole answer: the status and the server's own code."""
    retry_after_s: float | None = None
    """How long the server, which refused, wants to be left alone."""

    @property
    def seconds(self) -> float:
        return self.done_at - self.sent_at
