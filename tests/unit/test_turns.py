"""Whose turn it is: tenants in turn, one job of each at a time."""

from deployments.scheduling.turns import Turns


def turns(at_once: int = 1, waiting_each: int = 8) -> Turns[str]:
    return Turns(at_once=at_once, waiting_each=waiting_each)


def started(some: Turns[str], *tenants: str) -> list[str | None]:
    """What starts when each of these tenants has ended what it had, one after the other."""
    jobs = []
    for tenant in tenants:
        some.done(tenant)
        jobs.append(some.next())
    return jobs


def test_the_jobs_of_one_tenant_go_in_their_order() -> None:
    some = turns()
    for job in ("a1", "a2", "a3"):
        assert some.add("a", job)
    assert some.next() == "a1"
    assert started(some, "a", "a", "a") == ["a2", "a3", None]


def test_tenants_take_turns_however_many_jobs_they_have() -> None:
    some = turns()
    for job in ("a1", "a2", "a3"):
        some.add("a", job)
    assert some.next() == "a1"
    some.add("b", "b1")
    some.add("c", "c1")
    assert started(some, "a", "a", "b", "c") == ["a2", "b1", "c1", "a3"]


def test_no_more_than_so_many_are_under_way() -> None:
    some = turns(at_once=2)
    for tenant in "abc":
        some.add(tenant, tenant)
    assert [some.next(), some.next(), some.next()] == ["a", "b", None]
    some.done("b")
    assert some.next() == "c"


def test_a_tenant_has_one_under_way_though_there_is_room_for_more() -> None:
    some = turns(at_once=3)
    some.add("a", "a1")
    some.add("a", "a2")
    assert [some.next(), some.next()] == ["a1", None]
    some.add("b", "b1")
    assert some.next() == "b1"
    some.done("a")
    assert some.next() == "a2"


def test_a_tenant_may_have_so_many_waiting_and_others_are_not_counted() -> None:
    some = turns(waiting_each=2)
    assert [some.add("a", job) for job in ("a1", "a2", "a3")] == [True, True, False]
    assert some.add("b", "b1")
    assert (some.waiting("a"), some.waiting("b"), some.waiting("c")) == (2, 1, 0)
    assert some.next() == "a1"
    assert some.add("a", "a3")


def test_what_is_dropped_gets_no_turn() -> None:
    some = turns()
    some.add("a", "a1")
    some.add("a", "a2")
    some.add("b", "b1")
    assert some.drop("a", "a1")
    assert not some.drop("a", "a1")
    assert some.next() == "a2"
    assert not some.drop("a", "a2")
    assert some.drop("b", "b1")
    assert started(some, "a") == [None]
