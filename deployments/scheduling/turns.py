"""Whose turn it is for something short that few may do at once. Pure: no I/O, no clock.

Tenants take turns, and each has one job under way at the most. So a tenant waits for one job of
each other tenant and for its own, however many others have.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

J = TypeVar("J", bound=Hashable)


class Turns(Generic[J]):
    """Waiting jobs, each told from the others by its identity."""

    def __init__(self, *, at_once: int, waiting_each: int) -> None:
        self._at_once = at_once
        self._waiting_each = waiting_each
        self._waiting: OrderedDict[str, OrderedDict[J, None]] = OrderedDict()
        """By tenant; who had a turn longest ago is first."""
        self._under_way: set[str] = set()

    def waiting(self, tenant: str) -> int:
        """How many jobs a tenant has waiting."""
        return len(self._waiting.get(tenant, ()))

    def add(self, tenant: str, job: J) -> bool:
        """Let a job wait for its tenant's turn; False when the tenant has too many waiting."""
        if self.waiting(tenant) >= self._waiting_each:
            return False
        self._waiting.setdefault(tenant, OrderedDict())[job] = None
        return True

    def drop(self, tenant: str, job: J) -> bool:
        """Take out a job that shall not have a turn; False when it has had one."""
        jobs = self._waiting.get(tenant, OrderedDict())
        if job not in jobs:
            return False
        del jobs[job]
        if not jobs:
            del self._waiting[tenant]
        return True

    def next(self) -> J | None:
        """Take out the job whose turn it is, which is then under way; None: nobody's."""
        if len(self._under_way) >= self._at_once:
            return None
        for tenant, jobs in self._waiting.items():
            if tenant not in self._under_way:
                job, _ = jobs.popitem(last=False)
                self._waiting.move_to_end(tenant)
                if not jobs:
                    del self._waiting[tenant]
                self._under_way.add(tenant)
                return job
        return None

    def done(self, tenant: str) -> None:
        """The tenant's job that was under way has ended."""
        self._under_way.remove(tenant)
