"""How many users Locust runs at each time, where a shape or an open loop says it."""

from locust import LoadTestShape

from bench.locust.options import Settings
from bench.locust.shapes import SHAPES

_USERS_S = 100.0  # Locust warns of more


class Closed(LoadTestShape):
    """Users who come and go by a shape."""

    def __init__(self, settings: Settings, users: int, spawn_rate: float | None) -> None:
        super().__init__()
        assert settings.seconds is not None
        self._seconds, self._users = settings.seconds, users
        self._level = SHAPES[settings.shape](settings.seconds, settings.low)
        self._spawn_rate = spawn_rate or _USERS_S

    def tick(self) -> tuple[int, float] | None:
        at = self.get_run_time()
        if at >= self._seconds:
            return None
        return max(round(self._users * self._level(at)), 1), self._spawn_rate


class Open(LoadTestShape):
    """One source of arrivals in each process."""

    def __init__(self, settings: Settings, processes: int) -> None:
        super().__init__()
        assert settings.seconds is not None
        self._seconds, self._processes = settings.seconds, processes

    def tick(self) -> tuple[int, float] | None:
        if self.get_run_time() >= self._seconds + 1:  # a tick later, so that the last one has come
            return None
        return self._processes, _USERS_S
