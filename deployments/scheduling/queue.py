"""What the router may ask of a queue of waiting sequences, whatever its order. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol, TypeVar

from deployments.scheduling.terms import Level, Terms


class Job(Protocol):
    """What a queue knows of a waiting sequence. None of it may change while it waits."""

    @property
    def terms(self) -> Terms:
        """Tenant, weight (> 0) and level."""

    @property
    def cost(self) -> float:
        """Tokens that its tenant is charged when it starts; > 0."""

    @property
    def enqueued_at(self) -> float:
        """Monotonic seconds; not before that of its tenant's last job."""


J = TypeVar("J", bound=Job)


class Ahead(NamedTuple):
    """How much would start before a job that came now."""

    jobs: float
    cost: float


NOBODY = Ahead(0.0, 0.0)


def total(parts: Iterable[Ahead]) -> Ahead:
    """All of them together."""
    jobs, cost = 0.0, 0.0
    for part in parts:
        jobs += part.jobs
        cost += part.cost
    return Ahead(jobs, cost)


def always(job: object) -> bool:
    """Every job may start."""
    return True


class Queue(Protocol[J]):
    """Waiting jobs, each told from the others by its identity, in some order."""

    def push(self, job: J) -> None:
        """Add a job that has not been started yet."""

    def give_back(self, job: J) -> None:
        """Add a job that was started and lost its engine: before all others, charged already."""

    def select(self, now: float, allowed: Callable[[J], bool] = always) -> J | None:
        """Take out the next job to start, or None when no job that is next in its line may."""

    def remove(self, job: J) -> bool:
        """Take out a job that shall not start; False when it is not here."""

    def correct(self, terms: Terms, tokens: float) -> None:
        """Charge a tenant so many more tokens than its started job's cost; less than 0: fewer."""

    def ahead(self, terms: Terms) -> Ahead:
        """Estimate what would start before a job that came now."""

    def waiting(self) -> Mapping[Level, tuple[int, float]]:
        """Jobs and their cost, for each level."""

    @property
    def cost(self) -> float:
        """The cost of all waiting jobs."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[J]: ...


class Tally:
    """Jobs and their cost, by level."""

    def __init__(self) -> None:
        self._jobs = dict.fromkeys(Level, 0)
        self._cost = dict.fromkeys(Level, 0.0)

    def add(self, job: Job) -> None:
        self._jobs[job.terms.level] += 1
        self._cost[job.terms.level] += job.cost

    def drop(self, job: Job) -> None:
        level = job.terms.level
        self._jobs[level] -= 1
        # Nothing costs nothing, whatever rounding has left.
        self._cost[level] = self._cost[level] - job.cost if self._jobs[level] else 0.0

    @property
    def jobs(self) -> int:
        return sum(self._jobs.values())

    @property
    def cost(self) -> float:
        return sum(self._cost.values())

    def by_level(self) -> Mapping[Level, tuple[int, float]]:
        return {level: (self._jobs[level], self._cost[level]) for level in Level}


class Tallied:
    """What any queue can tell of its jobs by their tally, which it keeps itself."""

    def __init__(self) -> None:
        self._tally = Tally()

    def waiting(self) -> Mapping[Level, tuple[int, float]]:
        return self._tally.by_level()

    @property
    def cost(self) -> float:
        return self._tally.cost

    def __len__(self) -> int:
        return self._tally.jobs
