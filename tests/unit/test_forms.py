"""The router's end of checking forms: what is known, who waits for whom, and processes that die."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deployments import forms
from deployments.errors import BadRequest, Overloaded
from deployments.form_server import Verdict
from deployments.forms import FormChecker
from deployments.messages import StructuredOutputs
from tests.unit import form_judge
from tests.unit.fakes import until

TENANT = "acme"


@pytest.fixture
async def checker() -> AsyncIterator[FormChecker]:
    """Judged by form_judge."""
    checker = FormChecker(cpu_ms=100, memory_mb=64, program=form_judge.__name__)
    yield checker
    await checker.close()


async def check(checker: FormChecker, regex: str, tenant: str = TENANT) -> None:
    await checker.check(StructuredOutputs(regex=regex), tenant, "structured_outputs")


def begin(checker: FormChecker, regex: str, tenant: str = TENANT) -> asyncio.Task[None]:
    return asyncio.ensure_future(check(checker, regex, tenant))


async def outcomes(*tasks: asyncio.Task[None]) -> list[Any]:
    return [type(each) for each in await asyncio.gather(*tasks, return_exceptions=True)]


async def under_way(checker: FormChecker, count: int) -> None:
    await until(lambda: len(checker._under_way) == count, f"{count} trials are under way")


NONE = type(None)


async def test_a_good_form_passes(checker: FormChecker) -> None:
    await check(checker, "fine")


async def test_a_bad_form_is_refused_with_the_field_and_the_reason(checker: FormChecker) -> None:
    with pytest.raises(BadRequest) as refusal:
        await check(checker, "bad")
    assert (refusal.value.param, refusal.value.code) == ("structured_outputs", "invalid_value")
    assert refusal.value.message == "No text can be held to 'structured_outputs': bad is bad."


async def test_what_is_known_is_not_asked_again(checker: FormChecker) -> None:
    await outcomes(begin(checker, "fine"), begin(checker, "bad"))
    checker._turns.add = lambda *_: pytest.fail("a trial")  # type: ignore[method-assign]
    assert await outcomes(begin(checker, "fine"), begin(checker, "bad")) == [NONE, BadRequest]


async def test_what_is_known_is_forgotten_when_much_has_come_since(
    checker: FormChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "REMEMBERED", 3)
    for regex in ("a", "b", "c", "a", "d"):
        await check(checker, regex)
    assert len(checker._known) == 3
    checker._turns.next = lambda: None  # type: ignore[method-assign]
    await check(checker, "a")
    forgotten = begin(checker, "b")
    await asyncio.sleep(0)
    assert not forgotten.done()
    forgotten.cancel()


async def test_what_was_not_settled_is_asked_again(checker: FormChecker) -> None:
    for _ in range(2):
        with pytest.raises(Overloaded):
            await check(checker, "starved")


async def test_requests_of_one_form_wait_for_one_trial(checker: FormChecker) -> None:
    held = [begin(checker, "hold") for _ in range(forms.WAITING_EACH + 5)]
    await under_way(checker, 1)
    await check(checker, "release", "another")
    assert await outcomes(*held) == [NONE] * len(held)


async def test_a_tenants_forms_wait_for_each_other_and_not_for_those_of_others(
    checker: FormChecker,
) -> None:
    held, behind = begin(checker, "hold"), begin(checker, "fine")
    await under_way(checker, 1)
    await check(checker, "fine as well", "another")
    assert not held.done()
    assert not behind.done()
    await check(checker, "release", "another")
    assert await outcomes(held, behind) == [NONE, NONE]


async def test_what_one_tenant_asked_is_known_when_it_is_anothers_turn(
    checker: FormChecker,
) -> None:
    held = [begin(checker, "hold", tenant) for tenant in ("one", "two")]
    await under_way(checker, 2)
    last = begin(checker, "hold", "three")
    first = next(iter(checker._under_way))
    checker._on_verdict(None, Verdict(first, None))  # type: ignore[arg-type]
    assert await outcomes(held[0], last) == [NONE, NONE]
    assert not held[1].done()
    held[1].cancel()


async def test_who_has_too_many_waiting_is_told_when_to_come_back(checker: FormChecker) -> None:
    held = [begin(checker, "hold")]
    await under_way(checker, 1)
    held += [begin(checker, f"hold {n}") for n in range(forms.WAITING_EACH)]
    await until(lambda: checker._turns.waiting(TENANT) == forms.WAITING_EACH)
    with pytest.raises(Overloaded) as refusal:
        await check(checker, "one more")
    assert refusal.value.retry_after_s == pytest.approx(forms.WAITING_EACH * 0.1 / 2)
    await check(checker, "fine", "another")
    for task in held:
        task.cancel()
    await outcomes(*held)


async def test_a_client_that_leaves_takes_its_form_out_of_the_line(checker: FormChecker) -> None:
    held, left = begin(checker, "hold"), begin(checker, "fine")
    await under_way(checker, 1)
    left.cancel()
    await outcomes(left)
    assert checker._turns.waiting(TENANT) == 0
    await check(checker, "release", "another")
    assert await outcomes(held) == [NONE]


async def test_nobody_waits_for_a_process_that_has_died_and_another_one_takes_over(
    checker: FormChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker, "_again_s", 0.01)
    held = begin(checker, "hold", "another")
    await under_way(checker, 1)
    dead, waiting = begin(checker, "die"), begin(checker, "fine")
    assert await outcomes(held, dead, waiting) == [Overloaded, Overloaded, Overloaded]
    await check(checker, "fine")


async def test_nobody_waits_for_ever(checker: FormChecker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "PATIENCE_S", 0.01)
    with pytest.raises(Overloaded):
        await check(checker, "hold")


async def test_closing_ends_the_process_and_whoever_waits() -> None:
    checker = FormChecker(cpu_ms=100, memory_mb=64, program=form_judge.__name__)
    held = begin(checker, "hold")
    await under_way(checker, 1)
    await checker.close()
    assert await outcomes(held) == [Overloaded]


async def test_what_was_never_asked_is_closed_too() -> None:
    await FormChecker(cpu_ms=100, memory_mb=64).close()
