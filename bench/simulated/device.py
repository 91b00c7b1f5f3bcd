"""The simulated GPU as seen from the CPU: a first-in-first-out queue of steps that take time."""

import time
from collections.abc import Callable


class Device:
    """Steps run one after another, in the order of `launch`, whether anyone waits or not."""

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._free_at = 0.0

    def launch(self, seconds: float) -> float:
        """Queue a step and return when it will have ended."""
        self._free_at = max(self._now(), self._free_at) + seconds
        return self._free_at

    def wait_until(self, moment: float) -> None:
        """Sleep, once: a late wake-up delays this step's result and no later step's."""
        left = moment - self._now()
        if left > 0:
            self._sleep(left)

    def synchronize(self) -> None:
        """Return when everything launched has ended."""
        self.wait_until(self._free_at)
