"""What replicas tell the autoscaling policy, and how it reads that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from deployments.messages import Load
from deployments.scheduling.terms import Level
from deployments.signals import Heard, Series, of_engine, of_router, read

ENGINE = "engine-0-m"
NOW = 1000.0


@dataclass(frozen=True)
class At:
    timestamp: float
    value: float


@dataclass
class Queues:
    """What a router knows of one model."""

    queued: Mapping[Level, float]
    arrived: Mapping[Level, float]
    worked: float


def samples(*values: float, until: float = NOW, every_s: float = 0.5) -> list[At]:
    """One number over time, the last one now."""
    return [At(until - every_s * i, value) for i, value in enumerate(reversed(values))][::-1]


def router(
    queued: Sequence[float] = (0, 0),
    arrived: Sequence[float] = (0, 0),
    worked: Sequence[float] = (0, 0),
    *,
    until: float = NOW,
) -> dict[str, list[At]]:
    """What one router has told of late, all of it of class standard."""
    told: dict[str, list[At]] = {}
    for i, (waits, came, done) in enumerate(zip(queued, arrived, worked, strict=True)):
        queues = Queues(
            dict.fromkeys(Level, 0.0) | {Level.STANDARD: waits},
            dict.fromkeys(Level, 0.0) | {Level.STANDARD: came},
            done,
        )
        for name, value in of_router({ENGINE: queues}).items():
            told.setdefault(name, []).append(At(until - 0.5 * (len(queued) - 1 - i), value))
    return told


def heard(*replicas: Mapping[str, Sequence[At]]) -> Heard:
    """What several replicas have told."""
    names = {name for replica in replicas for name in replica}
    series: Series = {
        name: {i: told[name] for i, told in enumerate(replicas) if name in told} for name in names
    }
    return Heard(range(len(replicas)), series)


NOBODY = heard()
QUIET = heard(router())


class TestARouter:
    def test_has_its_queues_read_by_class(self) -> None:
        seen = read(ENGINE, 1, NOBODY, heard(router(queued=(3, 7)), router(queued=(0, 5))), NOW)
        assert seen.queued == {Level.INTERACTIVE: 0, Level.STANDARD: 12, Level.BATCH: 0}

    def test_has_its_counters_read_as_rates(self) -> None:
        one = router((0, 0, 0), arrived=(10, 20, 40), worked=(0, 0, 20))
        two = router(arrived=(100, 150))
        seen = read(ENGINE, 1, NOBODY, heard(one, two), NOW)
        assert seen.arriving[Level.STANDARD] == 30 / 1 + 50 / 0.5
        assert seen.served == 20

    def test_that_has_only_begun_to_tell_has_no_rate_yet(self) -> None:
        seen = read(ENGINE, 1, NOBODY, heard(router((4,), (100,), (50,))), NOW)
        assert (seen.arriving[Level.STANDARD], seen.served) == (0, 0)
        assert not seen.saturated

    def test_before_which_something_waits_all_along_is_saturated(self) -> None:
        busy, once = router(queued=(3, 7)), router(queued=(0, 7))
        assert read(ENGINE, 1, NOBODY, heard(once, busy), NOW).saturated
        assert not read(ENGINE, 1, NOBODY, heard(once, once), NOW).saturated

    def test_tells_of_other_models_what_is_theirs(self) -> None:
        assert read("engine-1-other", 1, NOBODY, heard(router(queued=(9, 9))), NOW).quiet


class TestHearing:
    def test_is_complete_when_every_router_is_heard(self) -> None:
        assert read(ENGINE, 1, NOBODY, heard(router(), router()), NOW).complete

    @pytest.mark.parametrize(
        "routers",
        [None, heard(), heard(router(), {}), heard(router(), router(until=NOW - 60))],
        ids=["none", "no router", "one says nothing", "one is silent"],
    )
    def test_is_not_complete_otherwise(self, routers: Heard | None) -> None:
        assert not read(ENGINE, 1, NOBODY, routers, NOW).complete


class TestAnEngine:
    def test_is_as_busy_as_its_slots_or_its_cache(self) -> None:
        assert of_engine(Load(running=3, waiting=1, kv_cache_usage=0.1), 8, 20)["busy"] == 0.5
        assert of_engine(Load(running=1, kv_cache_usage=0.75), 8, 20)["busy"] == 0.75
        assert of_engine(Load(running=99), 8, 20)["busy"] == 1

    def test_counts_as_busy_while_it_tells_nothing(self) -> None:
        engines = heard({"busy": samples(0.25)}, {}, {"busy": samples(0.5, until=NOW - 60)})
        seen = read(ENGINE, 4, engines, QUIET, NOW)
        assert (seen.ready, seen.target, seen.busy) == (3, 4, 2.25)

    def test_tells_how_long_it_took_to_start(self) -> None:
        engines = heard({"start_s": samples(12.0)}, {"start_s": samples(30.0)})
        assert read(ENGINE, 2, engines, QUIET, NOW).start_s == 30
        assert read(ENGINE, 2, NOBODY, QUIET, NOW).start_s is None
