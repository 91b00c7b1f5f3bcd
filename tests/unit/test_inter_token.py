"""The time between tokens, and what of it was the engine's and what ours."""

from typing import Any

import pytest

from deployments.link import EngineLink
from deployments.messages import Delta, Load, Step
from deployments.metering.families import GAP_S
from deployments.metering.histogram import Histogram
from deployments.metering.inter_token import Gaps
from deployments.scheduling.terms import Terms
from deployments.ticket import Ticket
from tests.unit.fakes import FakeClock, FakeEngine, serving, until
from tests.unit.peers import (
    Peer,
    Recorder,
    ScriptedEngine,
    identity,
    router_at,
    start,
    submit,
    welcomed,
)

ELSEWHERE = 7e6
"""What the clock of the engine's host says: not what the router's does."""


class Engine:
    """Sends steps that its core has made at the times that the test says."""

    def __init__(self, link: EngineLink, peer: Peer, dispatch: Recorder) -> None:
        self._link, self._peer, self._dispatch = link, peer, dispatch
        self.held_s = 0.0

    async def makes(self, at: float, *tickets: Ticket, tokens: int = 1) -> None:
        heard = len(self._dispatch.tokens)
        deltas = [Delta(identity(each), "a", [1] * tokens) for each in tickets]
        self._peer.send(Step(deltas, Load(), ELSEWHERE + at, self.held_s))
        await until(lambda: len(self._dispatch.tokens) > heard, "the step is heard")


def told(histogram: Histogram) -> tuple[int, Any]:
    """How many observations, and their sum."""
    return sum(histogram.counts), pytest.approx(histogram.sum)


async def test_an_engines_share_is_the_time_between_what_its_core_made(
    engine: ScriptedEngine, clock: FakeClock
) -> None:
    dispatch = Recorder()
    async with welcomed(engine, clock, dispatch=dispatch) as (link, peer):
        core, (_, both) = Engine(link, peer, dispatch), start(link, 2)
        await core.makes(1.0, *both)
        clock.advance(0.5)
        await core.makes(1.2, *both)  # 0.3 s were lost on the way
    inter_token, _ = dispatch.meter.inter_token
    assert told(inter_token.whole_s) == (2, 1.0)
    assert told(inter_token.engine_s) == (2, 0.4)


async def test_tokens_that_come_together_lie_evenly_apart(
    engine: ScriptedEngine, clock: FakeClock
) -> None:
    dispatch = Recorder()
    async with welcomed(engine, clock, dispatch=dispatch) as (link, peer):
        core, (_, [one, other]) = Engine(link, peer, dispatch), start(link, 2)
        await core.makes(1.0, one, other)
        clock.advance(0.5)
        await core.makes(1.4, one, tokens=4)
        await core.makes(1.5, other)
    inter_token, _ = dispatch.meter.inter_token
    assert told(inter_token.engine_s) == (5, 0.4 + 0.5)
    assert told(inter_token.whole_s) == (5, 0.5 + 0.5)
    assert max(inter_token.engine_s.counts) == 4


async def test_what_another_engine_goes_on_with_is_no_time_between_two_of_its_tokens(
    engine: ScriptedEngine, clock: FakeClock
) -> None:
    """Nor may one host's clock be taken from another's."""
    dispatch = Recorder()
    async with welcomed(engine, clock, dispatch=dispatch) as (link, peer):
        core, (_, [moved]) = Engine(link, peer, dispatch), start(link)
        await core.makes(5000.0, moved)
        link.withdraw(moved)
        link.submit(moved)
        clock.advance(0.5)
        await core.makes(1.0, moved)
        clock.advance(0.1)
        await core.makes(1.1, moved)
    inter_token, _ = dispatch.meter.inter_token
    assert told(inter_token.whole_s) == (2, 0.6)
    assert told(inter_token.engine_s) == (1, 0.1)
    assert told(inter_token.framework_s)[0] == 2


async def test_what_the_framework_takes_is_what_both_replicas_take(
    engine: ScriptedEngine, clock: FakeClock
) -> None:
    class Slow(Recorder):
        def ended(self, link: EngineLink, ticket: Ticket, delta: Delta) -> None:
            clock.advance(0.02)

    dispatch = Slow()
    async with welcomed(engine, clock, dispatch=dispatch) as (link, peer):
        core, (_, [one, ending]) = Engine(link, peer, dispatch), start(link, 2)
        core.held_s = 0.01
        await core.makes(1.0, one, ending)
        framework_s = dispatch.meter.inter_token[False].framework_s
        assert told(framework_s) == (0, 0.0)  # these were the first
        last = Delta(identity(ending), "b", [1], "stop")
        deltas = [Delta(identity(one), "b", [1]), last]
        peer.send(Step(deltas, Load(), ELSEWHERE + 1.1, core.held_s))
        await until(lambda: not ending.place, "the step is heard")
        assert told(framework_s) == (2, 2 * 0.03)


async def test_what_is_streamed_and_what_is_not_are_counted_apart(
    engine: ScriptedEngine, clock: FakeClock
) -> None:
    dispatch = Recorder()
    async with welcomed(engine, clock, dispatch=dispatch) as (link, peer):
        core, (_, [whole]) = Engine(link, peer, dispatch), start(link)
        _, [streamed] = start(link, terms=Terms(streamed=True))
        await core.makes(1.0, whole, streamed)
        clock.advance(0.5)
        await core.makes(1.5, whole, streamed)
        clock.advance(0.25)
        await core.makes(1.75, streamed)
    of_whole, of_streamed = dispatch.meter.inter_token
    assert told(of_whole.whole_s) == told(of_whole.engine_s) == (1, 0.5)
    assert told(of_streamed.engine_s) == (2, 0.75)
    assert told(of_streamed.whole_s) == (0, 0)  # nothing was shown to a client
    counts = [sum(each.framework_s.counts) for each in (of_whole, of_streamed)]
    assert counts == [1, 2]


async def test_the_engine_replica_tells_when_a_step_was_made_and_how_long_it_had_it(
    clock: FakeClock,
) -> None:
    async with serving(FakeEngine(now=clock), now=clock) as served, router_at(served.replica) as us:
        us.send(submit(1))
        await until(lambda: served.engine.running, "the sequence has come")
        [(owner, _)] = served.engine.running
        made_at = clock()
        clock.advance(0.25)
        served.engine.step({owner: [Delta(1, "a", [7])]}, made_at)
        await until(lambda: any(step.deltas for step in us.of(Step)), "the step is heard")
        [step] = [step for step in us.of(Step) if step.deltas]
        assert (step.made_at, step.held_s) == (made_at, 0.25)


def test_a_gap_is_between_what_was_written_to_the_client(clock: FakeClock) -> None:
    seconds = Histogram(GAP_S)
    gaps = Gaps(seconds, 2, clock)
    gaps.shown([(0, Delta(7, "a", [1])), (1, Delta(8, "a", [1, 2]))])
    clock.advance(0.5)
    gaps.shown([(0, Delta(7, "b", [2]))])
    assert told(seconds) == (1, 0.5)
    clock.advance(0.5)
    gaps.shown([(1, Delta(8, "b", [3, 4]))])  # evenly apart
    assert told(seconds) == (3, 0.5 + 1.0)


def test_what_a_reader_who_is_behind_gets_at_once_lies_no_time_apart(clock: FakeClock) -> None:
    seconds = Histogram(GAP_S)
    gaps = Gaps(seconds, 1, clock)
    gaps.shown([(0, Delta(7, "a", [1]))])
    clock.advance(0.5)
    gaps.shown([(0, Delta(7, "b", [2])), (0, Delta(7, "", [])), (0, Delta(7, "c", [3]))])
    assert told(seconds) == (2, 0.5)
