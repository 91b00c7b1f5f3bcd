"""Engines that die at a chosen moment.

All engine replicas are stopped (SIGSTOP) the moment a stream has come so far. What had left them by
then arrives within milliseconds; then it is known which token was the last, whether the stream was
still running, and, by the CPU time of their engine cores, which replica it ran on. That one gets
SIGKILL while it is stopped, and the others go on.
"""

import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_CORE = "VLLM::EngineCore"
_COMPUTES_NS = 1_000_000  # an idle one uses some microseconds now and then


@dataclass(frozen=True)
class Patient:
    """One engine replica."""

    pid: int
    core: int
    """The pid of its engine core."""

    @property
    def cpu_ns(self) -> int:
        """What its engine core has used of CPU so far, over all threads."""
        used = 0
        for schedstat in Path(f"/proc/{self.core}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):  # a thread that has just ended
                used += int(schedstat.read_text().split()[0])
        return used


def patients(replicas: Sequence[psutil.Process]) -> list[Patient]:
    """Those of the replicas that have an engine core."""
    found = []
    for replica in replicas:
        with contextlib.suppress(psutil.Error):
            # A fork server may stand between.
            under = replica.children(recursive=True)
            cores = [child for child in under if _title(child).startswith(_CORE)]
            found += [Patient(replica.pid, core.pid) for core in cores[:1]]
    return found


class Surgeon:
    """Stops all replicas, then kills one of them or none."""

    def __init__(self, ward: Sequence[Patient], *, kill_core: bool = False) -> None:
        self._ward = list(ward)
        self._kill_core = kill_core
        self._before = {patient: patient.cpu_ns for patient in self._ward}
        self._stopped = False

    def stop(self) -> None:
        """All stand still when this returns."""
        self._stopped = True
        for patient in self._ward:
            _signal(patient.pid, signal.SIGSTOP)

    def working(self) -> bool:
        """Whether an engine core has begun to compute."""
        return max(self._worked().values()) > _COMPUTES_NS

    def busiest(self) -> tuple[Patient, float]:
        """Whose engine core has worked since the beginning, and its share of all they did."""
        worked = self._worked()
        found = max(worked, key=lambda patient: worked[patient])
        return found, worked[found] / max(1, sum(worked.values()))

    def kill(self, patient: Patient) -> None:
        """SIGKILL to one; the others go on."""
        _signal(patient.core if self._kill_core else patient.pid, signal.SIGKILL)
        self.release()

    def release(self) -> None:
        """Whoever is still there goes on."""
        if self._stopped:
            self._stopped = False
            for patient in self._ward:
                _signal(patient.pid, signal.SIGCONT)

    def _worked(self) -> dict[Patient, int]:
        return {patient: patient.cpu_ns - before for patient, before in self._before.items()}


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
