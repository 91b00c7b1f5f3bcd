"""Whether a replica that failed is tried again. Pure: the caller brings the clock."""

from dataclasses import dataclass, field

STATES = CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"


@dataclass
class Breaker:
    """A circuit breaker of one engine replica. All times are monotonic seconds, `open_s` is not 0.

    Closed, it lets everything through. So many failures in a row open it, and nothing passes for
    `open_s`. Then it is half open: one sequence, the probe, may pass. A sign of life closes it; a
    failure opens it for twice as long as before, to `max_open_s` at most. Both may come from any
    sequence, and in most cases come from the probe.

    Failures are the engine's own. What a client did wrong says nothing of the engine: a probe that
    ends so, or because its client left, was `cancelled`. A probe that nobody speaks of for
    `max_open_s` is given up, so that no slip of the caller shuts out a replica for good.
    """

    failures: int = 3
    open_s: float = 1.0
    max_open_s: float = 30.0
    _failed: int = field(default=0, init=False)
    """How many in a row, while closed."""
    _opened_for_s: float = field(default=0.0, init=False)
    """Of the last opening; 0 while closed."""
    _waits_until: float = field(default=0.0, init=False)
    """Unless closed: when a probe may start, the first one or one more."""
    _half_open: bool = field(default=False, init=False)
    _probing: bool = field(default=False, init=False)

    @property
    def state(self) -> str:
        """One of `STATES`, as of the last call that brought the time."""
        if self._half_open:
            return HALF_OPEN
        return OPEN if self._opened_for_s else CLOSED

    def allows(self, now: float) -> bool:
        """True when a sequence may be sent there."""
        if self._opened_for_s and now >= self._waits_until:
            self._half_open = True
            self._probing = False
        return not self._opened_for_s or (self._half_open and not self._probing)

    def started(self, now: float) -> bool:
        """A sequence was sent there. True makes it the probe: see to it that its end is told."""
        if not self.allows(now) or not self._half_open:
            return False
        self._probing = True
        self._waits_until = now + self.max_open_s
        return True

    def succeeded(self) -> None:
        """Something came of a sequence that was sent there."""
        self._failed = 0
        self._opened_for_s = 0.0
        self._half_open = self._probing = False

    def failed(self, now: float) -> None:
        """A sequence failed there by the engine's fault."""
        if not self._opened_for_s:
            self._failed += 1
            if self._failed >= self.failures:
                self._open(now, self.open_s)
        elif self._half_open:
            self._open(now, 2 * self._opened_for_s)

    def cancelled(self) -> None:
        """The probe ended, and nothing can be said of the engine."""
        self._probing = False

    def _open(self, now: float, for_s: float) -> None:
        self._opened_for_s = min(for_s, self.max_open_s)
        self._waits_until = now + self._opened_for_s
        self._half_open = self._probing = False
