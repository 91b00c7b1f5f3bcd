"""First come, first served: what fairness is compared with. Pure."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Generic

from deployments.scheduling.queue import Ahead, J, Tallied, always
from deployments.scheduling.terms import Terms


class FifoQueue(Tallied, Generic[J]):
    """Jobs in the order in which they came, whoever asks and however urgent it is."""

    def __init__(self) -> None:
        super().__init__()
        self._given_back: OrderedDict[J, None] = OrderedDict()
        self._pushed: OrderedDict[J, None] = OrderedDict()

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

    def ahead(self, terms: Terms) -> Ahead:
        """Everything that waits."""
        return Ahead(self._tally.jobs, self._tally.cost)

    def __iter__(self) -> Iterator[J]:
        return chain(self._given_back, self._pushed)
