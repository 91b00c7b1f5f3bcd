"""How often readers look at what has come."""

import gc

from deployments.pace import LEAST_PAUSE, QUICK_S, SHARE, Pace, Turn
from tests.unit.fakes import FakeClock

SLOW_S = 0.01


def look(turn: Turn, clock: FakeClock, seconds: float) -> None:
    with turn.look():
        clock.advance(seconds)


def test_whoever_is_quick_may_look_at_once_again() -> None:
    clock = FakeClock()
    turn = Pace(clock).turn()
    assert turn.has_come
    look(turn, clock, QUICK_S)
    assert turn.has_come


def test_whoever_is_slow_waits_for_some_time() -> None:
    clock = FakeClock()
    turn = Pace(clock).turn()
    look(turn, clock, SLOW_S)
    clock.advance(SLOW_S * LEAST_PAUSE * 0.99)
    assert not turn.has_come
    clock.advance(SLOW_S * LEAST_PAUSE * 0.02)
    assert turn.has_come


def test_many_that_are_slow_take_a_share_of_the_time_together() -> None:
    clock = FakeClock()
    pace = Pace(clock)
    turns = [pace.turn() for _ in range(64)]
    looking_s, began = 0.0, clock.now
    while clock.now < began + 60:
        for turn in turns:
            if turn.has_come:
                look(turn, clock, SLOW_S)
                looking_s += SLOW_S
        clock.advance(0.001)
    assert looking_s / (clock.now - began) <= SHARE * 1.1


def test_who_ends_or_is_gone_makes_nobody_wait() -> None:
    clock = FakeClock()
    pace = Pace(clock)
    turns = [pace.turn() for _ in range(100)]
    for turn in turns:
        look(turn, clock, SLOW_S)
    last = turns.pop()
    turns.pop().end()
    turns.clear()
    del turn
    gc.collect()
    assert list(pace.slow) == [last]
    look(last, clock, SLOW_S)
    clock.advance(SLOW_S * LEAST_PAUSE * 1.01)
    assert last.has_come


def test_a_look_that_fails_counts_as_well() -> None:
    clock = FakeClock()
    turn = Pace(clock).turn()
    try:
        with turn.look():
            clock.advance(SLOW_S)
            raise ValueError
    except ValueError:
        pass
    assert not turn.has_come
