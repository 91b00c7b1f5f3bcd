"""How many replicas of a model there should be. Pure: the caller brings the clock.

The question is how long those would wait who wait, not how many there are. Work is counted in cost
units (see `ticket.work`), each class of requests has a target for its wait, and before a class
comes what is more urgent.

Up, at once. Let T be a class's target, C the time that a start takes, B what waits of this class
and of more urgent ones, and L what arrives of them each second (with its trend, C seconds ahead).
The class is late if those that work or start need more than T for B. It is going to be if, when a
replica is ready that is asked for now, they need more than T for what they have left over by then:

    left = max(0, B + L * C - what they do in C seconds)

Either way there should be

    replicas = (left / max(T, C) + L / BUSY) / what one does in a second

so that the left-over is gone within the target, or within the time of a start where that is longer:
more than that would cost their start before they do anything, and be idle soon after it. While a
class is late, one at least is on its way, whatever the arithmetic says: it may rest on a wrong
rate. To ask again changes nothing, as those that were asked for are among those that start.

Down, slowly. Fewer would do if what arrives were less than IDLE of what they work off, and what
runs took less than IDLE of their slots and cache. When fewer would have done for `hold_s`, as many
go as were spare all along, and the time begins anew. After `idle_timeout_s` without anything, all
go, if they may. Between the two lies enough that noise moves nothing.

What is not seen is no reason to shrink: while somebody is not heard, nothing goes.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from deployments.scheduling.demand import Demand, smoothed
from deployments.scheduling.scaling import Cause, Decision, Limits, Observation, State
from deployments.scheduling.supply import Supply
from deployments.scheduling.terms import Level

BUSY = 0.85
"""Of its rate, what a replica is planned to be given."""
IDLE = 0.6
"""Of their rate, slots and cache, what those that stay may be given for others to go."""
_CALM = 0.5
"""Of its target, what a class may wait for others to go."""
_BUSY_WITHIN_S = 10.0
_LONGEST_GAP_S = 5.0
"""Whoever has not looked for longer does not know what was between."""


def decide(
    limits: Limits, state: State | None, seen: Observation, now: float
) -> tuple[State, Decision]:
    """How many there should be by this model alone; others may need the GPUs (see `budget`).

    Give the state back with the next observation, within seconds; None begins anew.
    """
    if state is None:
        state = _first(limits, seen, now)
        return state, Decision(state.wanted, Cause.START)
    state = _learnt(state, seen, now)
    needs = list(_needs(limits, state, seen, now))
    decision = _bounds(limits, state) or _up(limits, state, seen, needs)
    if decision is None:
        state, decision = _down(limits, state, seen, needs, now)
    if decision.replicas != state.wanted:  # the time for the next ones to go begins anew
        state = replace(state, wanted=decision.replicas, spare_since=None)
    return state, decision


def _first(limits: Limits, seen: Observation, now: float) -> State:
    return State(
        at=now,
        wanted=limits.bounded(max(1, seen.target)),
        supply=Supply(seen.ready, since=now).counted(now, seen.ready, seen.target),
        demand={level: Demand(rate, rate) for level, rate in seen.arriving.items()},
        busy=seen.busy,
    )


def _learnt(state: State, seen: Observation, now: float) -> State:
    seconds = min(now - state.at, _LONGEST_GAP_S)
    supply = state.supply.counted(now, seen.ready, seen.target)
    if not seen.complete:
        return replace(state, at=now, supply=supply, spare_since=None, quiet_since=None)
    known = state.demand
    demand = {
        level: known.get(level, Demand(rate, rate)).after(rate, seconds)
        for level, rate in seen.arriving.items()
    }
    # The first one that starts is waited for, to show that it can.
    begins = state.quiet_since is None or seen.target > seen.ready == 0
    quiet_since = now if begins else state.quiet_since
    return replace(
        state,
        at=now,
        supply=supply.worked(now, seen.served, seconds, saturated=seen.saturated),
        demand=demand,
        busy=smoothed(state.busy, seen.busy, seconds, _BUSY_WITHIN_S),
        quiet_since=quiet_since if seen.quiet else None,
    )


def _bounds(limits: Limits, state: State) -> Decision | None:
    wanted = limits.bounded(state.wanted)
    if wanted == state.wanted:
        return None
    return Decision(wanted, Cause.BOUNDS, f"{limits.min_replicas} to {limits.max_replicas}")


class _Need(NamedTuple):
    """What one class needs, with all that is more urgent."""

    level: Level
    wait_s: float
    """How long those that work or start need for what waits."""
    later_s: float
    """And for what they will have left over when one is ready that is asked for now."""
    target_s: float
    replicas: int
    """For it to wait no longer than its target again; 0 while it does not."""
    figures: str

    @property
    def late(self) -> bool:
        return self.wait_s > self.target_s

    def __str__(self) -> str:
        waits_s = self.wait_s if self.late else self.later_s
        waits = "for ever" if waits_s == math.inf else f"{waits_s:.1f} s"
        name = self.level.name.lower()
        return f"{name} would wait {waits} and may {self.target_s:g} s, {self.figures}"


def _needs(limits: Limits, state: State, seen: Observation, now: float) -> Iterator[_Need]:
    supply = state.supply
    rate = supply.rate
    start_s = supply.start_s(seen.start_s)
    due = supply.due(now, start_s)
    planned = supply.ready + len(due)
    work = arriving = 0.0
    for level in Level:
        target_s = limits.target_wait_s[level]
        work += seen.queued.get(level, 0.0)
        if level in state.demand:
            arriving += state.demand[level].ahead(start_s)
        wait_s = supply.drained_s(work, due)
        replicas, later_s = 0, 0.0
        if rate:
            left = max(0.0, work + arriving * start_s - supply.done_in(start_s, due))
            later_s = left / (planned * rate) if planned else math.inf
            if max(wait_s, later_s) > target_s:
                share = (left / max(target_s, start_s) + arriving / BUSY) / rate
                replicas = math.ceil(min(share, limits.max_replicas))
        if wait_s > target_s:
            replicas = max(replicas, supply.ready + 1)
        each = f"{rate:.0f}/s each" if rate else "nobody knows how much each does"
        figures = f"{work:.0f} wait, {arriving:.0f}/s come, {each}, {start_s:.0f} s to start"
        yield _Need(level, wait_s, later_s, target_s, replicas, figures)


def _up(limits: Limits, state: State, seen: Observation, needs: Sequence[_Need]) -> Decision | None:
    if seen.quiet:  # what is left of the averages wakes nobody
        return None
    need = max(needs, key=lambda need: need.replicas)
    replicas = limits.bounded(max(need.replicas, int(any(seen.queued.values()))))
    if replicas <= state.wanted:
        return None
    cause = Cause.QUEUE if need.late else Cause.ARRIVALS
    return Decision(replicas, cause if state.wanted else Cause.WAKE, str(need))


def _down(
    limits: Limits, state: State, seen: Observation, needs: Sequence[_Need], now: float
) -> tuple[State, Decision]:
    """Fewer, when fewer have done for long enough; as many until then."""
    wanted = state.wanted
    steady = Decision(wanted, Cause.STEADY)
    if not seen.complete:
        return state, steady
    quiet_s = -1.0 if state.quiet_since is None else now - state.quiet_since
    if wanted and limits.min_replicas == 0 and quiet_s >= limits.idle_timeout_s:
        return state, Decision(0, Cause.IDLE, f"nothing for {limits.idle_timeout_s:g} s")
    enough = limits.bounded(_enough(limits, state, needs))
    if enough >= wanted:
        return replace(state, spare_since=None), steady
    since = state.spare_since
    if since is None:
        return replace(state, spare_since=now, peak=enough), steady
    state = replace(state, peak=max(state.peak, enough))
    if now - since < limits.hold_s:
        return state, steady
    return state, Decision(state.peak, Cause.SPARE, f"they have done for {limits.hold_s:g} s")


def _enough(limits: Limits, state: State, needs: Sequence[_Need]) -> int:
    """How many hold what there is, with a margin."""
    if any(need.wait_s > _CALM * need.target_s for need in needs):
        return state.wanted
    enough = max(1, math.ceil(state.busy / IDLE))
    arriving = sum(demand.high for demand in state.demand.values())
    if state.supply.rate:
        share = min(arriving / IDLE / state.supply.rate, limits.max_replicas)
        enough = max(enough, math.ceil(share))
    return enough
