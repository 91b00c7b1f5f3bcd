import os
import signal
import subprocess
from typing import Any

import psutil
import pytest

from bench.judgement.kills_report import Trial
from bench.judgement.surgery import Surgeon, patients
from bench.judgement.transcript import BROKEN, SAME
from tests.support.server import eventually


def trial(**changes: Any) -> Trial:
    known = {"kind": "plain", "index": 5, "reached": 5, "killed": True, "share": 0.98}
    return Trial(**{**known, "verdict": SAME, **changes})


class TestTrial:
    def test_hits_the_engine_that_the_stream_ran_on_at_its_index(self) -> None:
        assert trial().hit

    @pytest.mark.parametrize("changes", [{"killed": False}, {"reached": 6}, {"share": 0.5}])
    def test_that_came_too_late_or_to_another_engine_hits_nothing(
        self, changes: dict[str, Any]
    ) -> None:
        assert not trial(**changes).hit

    def test_that_could_not_be_made_is_broken_and_hits_nothing(self) -> None:
        failed = Trial.failed("tool", "400 no tools here")
        assert failed.verdict == BROKEN
        assert not failed.hit


def test_an_engine_core_that_a_fork_server_has_made_is_its_replicas() -> None:
    core = "exec -a VLLM::EngineCore sleep 60"
    fork_server = f"bash -c '{core}' & wait"
    replica = subprocess.Popen(
        ["bash", "-c", 'bash -c "$0" & wait', fork_server], start_new_session=True
    )
    try:
        processes = [psutil.Process(replica.pid)]
        eventually(lambda: bool(patients(processes)), 10, "its engine core is found")
        [patient] = patients(processes)
        assert psutil.Process(patient.core).cmdline()[0] == "VLLM::EngineCore"
    finally:
        os.killpg(replica.pid, signal.SIGKILL)
        replica.wait()


class FakePatient:
    """Uses CPU when told to."""

    def __init__(self) -> None:
        self.cpu_ns = 5_000_000


class TestSurgeon:
    def test_finds_whose_engine_core_has_worked_since_the_beginning(self) -> None:
        idle, busy = FakePatient(), FakePatient()
        ward: Any = [idle, busy]
        surgeon = Surgeon(ward)
        assert not surgeon.working()
        busy.cpu_ns += 9_000_000
        idle.cpu_ns += 1_000_000
        assert surgeon.working()
        found, share = surgeon.busiest()
        assert found is ward[1]
        assert share == 0.9
