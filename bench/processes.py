"""What the processes of one stack cost: CPU seconds and resident memory, by process."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

MARK = "BENCH_STACK_MARK"
"""In the environment of everything that a stack starts. Not named SLUICE_*: Sluice refuses to
start under a variable of that kind that it does not know."""

MARKED_ENVIRONMENT = {"SPT_NOENV": "1"}
"""Goes with the mark: without it setproctitle, which vLLM and Ray name their processes with,
writes over /proc/<pid>/environ, and the mark with it."""

_ENGINE = ("VLLM::EngineCore", "VLLM::Worker")  # a `VLLM::APIServer` serves


@dataclass(frozen=True)
class Cost:
    """What one process has cost so far. CPU seconds are user and system."""

    label: str
    cpu_s: float
    """With that of its children that are gone and that it has waited for."""
    rss_bytes: int
    parent: int
    """A pid."""


Sample = Mapping[tuple[int, float], Cost]
"""By pid and start time, which together are one process's only."""


def is_engine(label: str) -> bool:
    """Whether this is an engine core or its worker, and not a serving process."""
    return label.startswith(_ENGINE)


def label_of(command: Sequence[str], name: str) -> str:
    """What to call a process: its title, else the Python module or script it runs, else its name.

    Stays the same for a Ray actor whatever it is doing, which Ray appends to the title.
    """
    title = command[0] if command else ""
    if title.startswith("VLLM::"):
        return title.split()[0]
    if title.startswith("ray::"):
        return re.split(r"[.\s(]", title.strip(), maxsplit=1)[0]
    if not os.path.basename(title).startswith("python"):
        return name
    words = iter(command[1:])
    for word in words:
        if word == "-m":
            return next(words, name)
        if word == "-c":
            imported = re.search(r"from ([\w.]+) import", next(words, ""))
            return imported[1] if imported else name
        if not word.startswith("-"):
            return os.path.basename(word)
    return name


class Tree:
    """The processes of one stack: all that carry its mark, and all that descend from them.

    Once found, a process stays in until it is gone, whatever becomes of its parent or its mark.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._members: set[psutil.Process] = set()

    def members(self) -> set[psutil.Process]:
        """Those alive now; a zombie is not."""
        everyone = {process.pid: process for process in psutil.process_iter()}
        self._members = {member for member in self._members if _alive(member)}
        pids = {member.pid for member in self._members}
        others = [process for pid, process in everyone.items() if pid not in pids]
        self._members.update(process for process in others if self._has_mark(process))
        self._add_descendants(others)
        return set(self._members)

    def sample(self) -> Sample:
        """What each member has cost so far."""
        costs = ((member, _cost(member)) for member in self.members())
        return {(member.pid, member.create_time()): cost for member, cost in costs if cost}

    def _has_mark(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == self._mark and _alive(process)
        except psutil.Error:  # gone, or another user's
            return False

    def _add_descendants(self, others: Sequence[psutil.Process]) -> None:
        pids = {member.pid for member in self._members}
        parents = {process: _parent_pid(process) for process in others}
        grown = True
        while grown:
            children = {p for p, parent in parents.items() if parent in pids and p.pid not in pids}
            self._members |= {child for child in children if _alive(child)}
            pids |= {child.pid for child in children}
            grown = bool(children)


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _parent_pid(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.Error:
        return -1


def _cost(process: psutil.Process) -> Cost | None:
    try:
        with process.oneshot():
            times = process.cpu_times()
            label = label_of(process.cmdline(), process.name())
            memory, parent = process.memory_info(), process.ppid()
    except psutil.Error:
        return None
    cpu_s = times.user + times.system + times.children_user + times.children_system
    return Cost(label, cpu_s, memory.rss, parent)


def spent(before: Sample, after: Sample) -> dict[str, float]:
    """CPU seconds between two samples, by label.

    When a process ends, all it has ever used goes into the sum of the parent that waits for it;
    what of that was before the first sample is taken off again. What ended without being waited
    for is lost.
    """
    seconds = {
        process: cost.cpu_s - (before[process].cpu_s if process in before else 0.0)
        for process, cost in after.items()
    }
    by_pid = {process[0]: process for process in after}
    for process in before.keys() - after.keys():
        parent = by_pid.get(before[process].parent)
        if parent is not None:
            seconds[parent] = max(0.0, seconds[parent] - before[process].cpu_s)
    total: dict[str, float] = {}
    for process, used in seconds.items():
        label = after[process].label
        total[label] = total.get(label, 0.0) + used
    return total


def rss_bytes(sample: Sample) -> int:
    """Resident memory of all; what processes share counts for each of them."""
    return sum(cost.rss_bytes for cost in sample.values())
