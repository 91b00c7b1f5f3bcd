"""First come, first served: what fairness is compared with. Pure."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Generic

from deployments.scheduling.queue import Ahead, J, Tally, always
from deployments.scheduling.terms import Level, Terms


class FifoQueue(Generic[J]):
    """Jobs in the order in which they came, whoever asks and however urgent it is."""

    def __init__(self) -> None:
        self._given_back: OrderedDict[J, None] = OrderedDict()
        self._pushed: OrderedDict[J, None] = OrderedDict()
        self._tally = Tally()

    def push(self, job: J) -> None:
        self._pushed[job] = None
        self._tally.add(job)

    def give_back(self, job: J) -> None:
        self._given_back[job] = None
        self._tally.add(job)

    def select(self, now: float, allowed: Callable[[J], bool] = always) -> J | None:
        """Passes over jobs that are not allowed."""
        for job in self:
            if allowed(job):
                self.remove(job)
                return job
        return None

    def remove(self, job: J) -> bool:
        for jobs in (self._given_back, self._pushed):
            if job in jobs:
                del jobs[job]
                self._tally.drop(job)
                return True
        return False

    def correct(self, terms: Terms, tokens: float) -> None:
        """Nobody is charged anything."""

    def ahead(self, terms: Terms, cost: float) -> Ahead:
        """Everything that waits."""
        return Ahead(self._tally.jobs, self._tally.cost)

    def waiting(self) -> Mapping[Level, tuple[int, float]]:
        return self._tally.by_level()

    @property
    def cost(self) -> float:
        return self._tally.cost

    def __len__(self) -> int:
        return self._tally.jobs

    def __iter__(self) -> Iterator[J]:
        return chain(self._given_back, self._pushed)
