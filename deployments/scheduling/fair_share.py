"""Whose turn it is among the tenants of one level: fair by tokens, by weight. Pure.

Each tenant has a virtual token counter (Sheng et al., "Fairness in Serving Large Language Models",
OSDI 2024). It grows by cost / weight when one of the tenant's jobs starts, and later by what that
job uses beyond its cost (it shrinks by what it leaves unused). The smallest counter goes first;
among equals, who has had no turn since its coming, then who had it longest ago. A tenant that had
nothing waiting comes in with its own counter, or level with the first in turn if that is more;
where nobody waits, level with the tenant that left last. So idling banks no credit, and a tenant
that goes and comes again finds what it owed.

Service lag. Let S_a be the tokens of tenant a in some interval: the cost of its jobs started there
and the corrections made there. L is the largest cost. U bounds what is outstanding: at no time
would the corrections still to come for one tenant's started jobs, overruns and refunds added as
amounts, exceed it. Then in every interval in which a and b both wait, from when both have had a
turn (without corrections: from when both wait),

    |S_a / w_a - S_b / w_b| <= (L + U) * (1 / w_a + 1 / w_b)

For when a goes, its counter is not above b's. Until it goes again it can get ahead of b's by its
cost and its overruns over w_a, and by b's refunds over w_b; likewise b's. S_a / w_a - S_b / w_b is
the change of the difference, so at most the sum of both leads.

Not bound by this: turns at which a tenant was passed over because its first job was not allowed,
and jobs started out of turn. The former leave a tenant behind by its first job's cost at most, so
that what could not start does not grow into a claim on everything later. The latter are charged
like any other.
"""

import math
from bisect import insort
from collections import OrderedDict
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Generic

from deployments.scheduling.queue import NOBODY, Ahead, J, total
from deployments.scheduling.terms import Terms

_COUNTER = attrgetter("counter")
_ORDER = attrgetter("counter", "had_turn")


class _Lane(Generic[J]):
    """A tenant's waiting jobs of one priority, in the order in which they came."""

    __slots__ = ("cost", "jobs")

    def __init__(self) -> None:
        self.jobs: OrderedDict[J, None] = OrderedDict()
        self.cost = 0.0


class Line(Generic[J]):
    """A tenant's waiting jobs, the lowest priority first, and then in the order of their coming."""

    __slots__ = ("_lanes", "_priorities", "counter", "first", "had_turn", "total", "weight")

    def __init__(self, first: J, counter: float) -> None:
        self.counter = counter
        self.had_turn = False
        self.weight = first.terms.weight
        self.total = NOBODY
        self.first = first
        self._lanes: dict[int, _Lane[J]] = {}
        self._priorities: list[int] = []
        """Those of the lanes, ascending."""
        self.add(first)

    def add(self, job: J) -> None:
        priority = job.terms.priority
        lane = self._lanes.get(priority)
        if lane is None:
            lane = self._lanes[priority] = _Lane()
            insort(self._priorities, priority)
        lane.jobs[job] = None
        lane.cost += job.cost
        self.total = Ahead(self.total.jobs + 1, self.total.cost + job.cost)
        self.weight = job.terms.weight
        if priority < self.first.terms.priority:
            self.first = job

    def drop(self, job: J) -> None:
        priority = job.terms.priority
        lane = self._lanes[priority]
        del lane.jobs[job]
        lane.cost -= job.cost
        self.total = Ahead(self.total.jobs - 1, self.total.cost - job.cost)
        if not lane.jobs:
            del self._lanes[priority]
            self._priorities.remove(priority)
        if job is self.first and self._priorities:
            self.first = next(iter(self._lanes[self._priorities[0]].jobs))

    def __contains__(self, job: J) -> bool:
        lane = self._lanes.get(job.terms.priority)
        return lane is not None and job in lane.jobs

    def __iter__(self) -> Iterator[J]:
        for priority in self._priorities:
            yield from self._lanes[priority].jobs

    def __len__(self) -> int:
        return int(self.total.jobs)

    def up_to(self, priority: int) -> Ahead:
        """What starts before a job of that priority that came now."""
        lanes = [self._lanes[each] for each in self._priorities if each <= priority]
        return total(Ahead(len(lane.jobs), lane.cost) for lane in lanes)

    def before(self, counter: float) -> Ahead:
        """What starts before a tenant that comes with that counter, if all jobs cost the same."""
        if (counter, False) < (self.counter, self.had_turn):
            return NOBODY
        jobs, cost = self.total
        turns = math.ceil((counter - self.counter) * self.weight * jobs / cost - 1e-9)
        starts = min(max(turns, 1), jobs)
        return Ahead(starts, starts * cost / jobs)


class FairShare(Generic[J]):
    """The waiting jobs of one level."""

    def __init__(self) -> None:
        self.lines: dict[str, Line[J]] = {}
        """By tenant; of those that had a turn, the one that had it longest ago is first."""
        self._gone: dict[str, float] = {}
        """Counters of tenants that have nothing waiting and may be above the floor."""
        self._gone_limit = 16
        self._last_floor = 0.0
        """The counter of the tenant that left last, when none was left."""

    @property
    def floor(self) -> float:
        """Where a tenant comes in that owes nothing."""
        return min(map(_COUNTER, self.lines.values()), default=self._last_floor)

    def add(self, job: J) -> None:
        tenant = job.terms.tenant
        line = self.lines.get(tenant)
        if line is None:
            self.lines[tenant] = Line(job, self.counter(tenant))
            self._gone.pop(tenant, None)
        else:
            line.add(job)

    def remove(self, job: J) -> bool:
        """Take out a job that does not start; False when it is not here."""
        tenant = job.terms.tenant
        line = self.lines.get(tenant)
        if line is None or job not in line:
            return False
        line.drop(job)
        if not line:
            self._leave(tenant)
        return True

    def start(self, job: J) -> None:
        """Take out a job and charge its tenant."""
        tenant = job.terms.tenant
        line = self.lines.pop(tenant)
        self.lines[tenant] = line  # now behind its equals
        line.had_turn = True
        line.counter += job.cost / job.terms.weight
        line.drop(job)
        if not line:
            self._leave(tenant)

    def next(self, allowed: Callable[[J], bool]) -> J | None:
        """The job whose turn it is, of those that are first in their line and allowed."""
        passed: list[Line[J]] = []
        for line in self._in_order():
            job = line.first
            if allowed(job):
                for other in passed:
                    claim = other.first.cost / other.weight
                    other.counter = max(other.counter, line.counter - claim)
                return job
            passed.append(line)
        return None

    def correct(self, terms: Terms, tokens: float) -> None:
        """Charge a tenant more, or less, than its jobs' cost."""
        tenant, change = terms.tenant, tokens / terms.weight
        if tenant in self.lines:
            self.lines[tenant].counter += change
        else:
            self._remember(tenant, self.counter(tenant) + change)

    def counter(self, tenant: str) -> float:
        """A tenant's counter, or what it would come in with."""
        if tenant in self.lines:
            return self.lines[tenant].counter
        return max(self._gone.get(tenant, -math.inf), self.floor)

    @property
    def total(self) -> Ahead:
        return total(line.total for line in self.lines.values())

    def ahead(self, terms: Terms) -> Ahead:
        """What starts before a job of this tenant that came now."""
        counter = self.counter(terms.tenant)
        own = self.lines.get(terms.tenant)
        mine = NOBODY if own is None else own.up_to(terms.priority)
        counter += mine.cost / terms.weight
        return total(mine if line is own else line.before(counter) for line in self.lines.values())

    def _in_order(self) -> Iterator[Line[J]]:
        lines = self.lines.values()
        if lines:
            yield min(lines, key=_ORDER)  # mostly the only one that is asked for
            yield from sorted(lines, key=_ORDER)[1:]

    def _leave(self, tenant: str) -> None:
        counter = self.lines.pop(tenant).counter
        if not self.lines:
            self._last_floor = counter
        self._remember(tenant, counter)

    def _remember(self, tenant: str, counter: float) -> None:
        self._gone[tenant] = counter
        if len(self._gone) > self._gone_limit:
            # Those that would come in at the floor anyway can be forgotten. Sweeping only when
            # their number has doubled makes it O(1) for each that goes.
            floor = self.floor
            self._gone = {name: own for name, own in self._gone.items() if own > floor}
            self._gone_limit = 16 + 2 * len(self._gone)
