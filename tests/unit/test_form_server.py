"""Trials that go wrong in every way: each ends within its limits, and only itself."""

import asyncio
from collections.abc import AsyncIterator

import psutil
import pytest

from deployments.errors import BadRequest, Overloaded
from deployments.forms import FormChecker
from deployments.messages import StructuredOutputs
from tests.unit import form_torture
from tests.unit.fakes import until

CPU_MS = 100


@pytest.fixture
async def checker() -> AsyncIterator[FormChecker]:
    """With so much CPU time, and 64 MB."""
    checker = FormChecker(cpu_ms=CPU_MS, memory_mb=64, program=form_torture.__name__)
    yield checker
    await checker.close()


async def fault(checker: FormChecker, regex: str, tenant: str = "acme") -> str | None:
    """Why a form is refused, if it is."""
    try:
        await checker.check(StructuredOutputs(regex=regex), tenant, "field")
    except BadRequest as exc:
        return exc.message.removeprefix("No text can be held to 'field': ").removesuffix(".")
    return None


async def test_what_a_trial_finds_is_told(checker: FormChecker) -> None:
    assert await fault(checker, "fine") is None
    assert await fault(checker, "fault é") == "fault é"
    assert await fault(checker, "fault" * 1000) == "fault" * 60


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        ("spin", "to use it takes more CPU time than the 100 ms it may take"),
        ("allocate", "it takes too much memory"),
        ("abort", "what makes it ready crashes on it"),
        ("crash", "what makes it ready crashes on it"),
        ("raise", "it cannot be made ready"),
    ],
)
async def test_a_trial_that_goes_wrong_is_its_forms_fault_and_the_next_is_fine(
    checker: FormChecker, deed: str, told: str
) -> None:
    assert await fault(checker, deed) == told
    assert await fault(checker, "fine") is None


async def test_a_stack_that_overflows_ends_no_other_trial(checker: FormChecker) -> None:
    assert await fault(checker, "overflow") is not None
    assert await fault(checker, "fine") is None


async def test_a_trial_that_gets_no_time_is_killed_and_is_nobodys_fault(
    checker: FormChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(form_torture.STARVED, "0.05")
    with pytest.raises(Overloaded):
        await fault(checker, "sleep")
    assert await fault(checker, "fine") is None


async def test_trials_of_two_tenants_are_under_way_at_once(checker: FormChecker) -> None:
    slow = asyncio.ensure_future(fault(checker, "sleep", "slow"))
    await until(lambda: bool(checker._under_way))
    assert await fault(checker, "fine", "quick") is None
    assert not slow.done()
    slow.cancel()


async def test_nothing_is_left_of_a_trial_when_the_router_ends(checker: FormChecker) -> None:
    slow = asyncio.ensure_future(fault(checker, "sleep"))
    await until(lambda: len(_of_torture()) == 2, "the server and its trial are up")
    processes = _of_torture()
    assert checker._connection is not None
    checker._connection.abort()  # all that a killed router does
    await asyncio.gather(slow, return_exceptions=True)
    await until(lambda: not any(process.is_running() for process in processes))


def _of_torture() -> list[psutil.Process]:
    """A trial is a fork of its server: their command lines are the same."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if form_torture.__name__ in _command(child)]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has ended
        return []
