"""Which waiting sequence starts next. Pure: no I/O, no clock.

Jobs that have lost their engine go first. Then the levels go by strict priority, but for jobs that
have grown old, and the tenants of a level by their fair share (deployments.scheduling.fair_share,
where the bound on service lag stands). Each level counts for itself: what a tenant used in one took
nothing that was to be shared in another, and a lag can only be bounded where nothing else moves the
counters.

Ageing. A job that has waited for its level's `ageing_s` is aged. While any is, one start in
`aged_every` is out of turn and takes the job that has been aged the longest. So an aged job with
k aged before it starts after at most aged_every * (k + 1) starts, and between two starts out of
turn lie at least aged_every - 1 in turn. Jobs that were given back are not counted, and aged jobs
that are not allowed are passed over.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from types import MappingProxyType
from typing import Generic

from deployments.scheduling.fair_share import FairShare, Line
from deployments.scheduling.queue import Ahead, J, Tallied, always, total
from deployments.scheduling.terms import Level, Terms

AGEING_S: Mapping[Level, float] = MappingProxyType({Level.STANDARD: 10.0, Level.BATCH: 60.0})


class FairQueue(Tallied, Generic[J]):
    """Waiting jobs by urgency, fair between tenants, none of them for ever."""

    def __init__(self, *, ageing_s: Mapping[Level, float] = AGEING_S, aged_every: int = 4) -> None:
        """A level that `ageing_s` does not name does not age."""
        if Level.INTERACTIVE in ageing_s:
            raise ValueError("the most urgent level waits for no other: it cannot age")
        if aged_every < 2:
            raise ValueError("aged_every below 2 would leave no start to those in turn")
        super().__init__()
        self._ageing_s = dict(ageing_s)
        self._aged_every = aged_every
        self._levels: dict[Level, FairShare[J]] = {level: FairShare() for level in Level}
        self._given_back: OrderedDict[J, None] = OrderedDict()
        self._in_turn = 0
        """Starts since the last one out of turn."""
        self._now = -math.inf
        """When `select` was called last: what an estimate knows of the time."""

    def push(self, job: J) -> None:
        """Add a job behind its tenant's others of that level."""
        self._levels[job.terms.level].add(job)
        self._tally.add(job)

    def give_back(self, job: J) -> None:
        self._given_back[job] = None
        self._tally.add(job)

    def select(self, now: float, allowed: Callable[[J], bool] = always) -> J | None:
        """O(tenants log tenants); passes over tenants whose first job is not allowed."""
        self._now = now
        job = next(filter(allowed, self._given_back), None)
        if job is not None:
            self.remove(job)
            return job
        job = self._out_of_turn(allowed)
        if job is not None:
            self._in_turn = 0
        else:
            by_level = (level.next(allowed) for level in self._levels.values())
            job = next((job for job in by_level if job is not None), None)
            if job is None:
                return None
            self._in_turn += 1
        self._levels[job.terms.level].start(job)
        self._tally.drop(job)
        return job

    def remove(self, job: J) -> bool:
        """O(1); amortized where a tenant has no other job."""
        if job in self._given_back:
            del self._given_back[job]
        elif not self._levels[job.terms.level].remove(job):
            return False
        self._tally.drop(job)
        return True

    def correct(self, terms: Terms, tokens: float) -> None:
        self._levels[terms.level].correct(terms, tokens)

    def ahead(self, terms: Terms) -> Ahead:
        """Estimate what would start before a job that came now, whatever its own cost.

        While nothing comes, leaves or is corrected, no job of a less urgent level is aged and each
        tenant's jobs cost the same, this is exact for a tenant that has nothing waiting, and for
        others up to one job of each other tenant. Otherwise it is near. O(tenants).
        """
        before = [level.total for urgency, level in self._levels.items() if urgency < terms.level]
        before.append(self._levels[terms.level].ahead(terms))
        before += (Ahead(1, job.cost) for job in self._given_back)
        starts = total(before)
        aged = total(line.total for _, line in self._aged(above=terms.level))
        if not aged.jobs:
            return starts
        out_of_turn = min(aged.jobs, starts.jobs / (self._aged_every - 1))
        aged_cost = out_of_turn * aged.cost / aged.jobs
        return Ahead(starts.jobs + out_of_turn, starts.cost + aged_cost)

    def __iter__(self) -> Iterator[J]:
        yield from self._given_back
        for level in self._levels.values():
            for line in level.lines.values():
                yield from line

    def _out_of_turn(self, allowed: Callable[[J], bool]) -> J | None:
        if self._in_turn < self._aged_every - 1:
            return None
        jobs = (line.first for _, line in sorted(self._aged(), key=itemgetter(0)))
        return next(filter(allowed, jobs), None)

    def _aged(self, above: Level = Level.INTERACTIVE) -> Iterator[tuple[float, Line[J]]]:
        """Since when the first job of each line is aged, of levels less urgent than that."""
        for level, ageing_s in self._ageing_s.items():
            if level > above:
                for line in self._levels[level].lines.values():
                    aged_at = line.first.enqueued_at + ageing_s
                    if aged_at <= self._now:
                        yield aged_at, line
