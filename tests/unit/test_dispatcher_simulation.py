"""Whatever happens: nothing is lost or doubled, nobody waits for ever, nothing grows for ever."""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.dispatcher import GRACE_S, Rules
from deployments.errors import SluiceError
from deployments.messages import Load
from deployments.scheduling.terms import Level, Terms
from tests.unit.simulation import STEP_S, Asked, SimulatedLink, Site

TENANTS = st.sampled_from([("a", 1.0), ("b", 1.0), ("c", 4.0)])
TERMS = st.builds(
    lambda tenant, level, deadline_s: Terms(tenant[0], tenant[1], level, deadline_s),
    TENANTS,
    st.sampled_from(Level),
    st.none() | st.floats(0.05, 5.0),
)


@dataclass(frozen=True)
class Ask:
    terms: Terms
    prompt: int
    output: int
    count: int


@dataclass(frozen=True)
class Event:
    """Something but a request: what, and to which request or engine."""

    what: str
    whom: int


@dataclass
class Play:
    """A site to which things happen, and what must hold after each."""

    engines: int
    rules: Rules
    site: Site = field(init=False)
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.site = Site(self.engines, self.rules)

    def happen(self, event: Ask | Event) -> None:
        if isinstance(event, Ask):
            self.asked.append(self.site.ask(event.prompt, event.output, event.terms, event.count))
        elif event.what == "cancel" and self.asked:
            asked = self.asked[event.whom % len(self.asked)]
            if not asked.has_ended:
                asked.cancel()
        elif event.what == "start" and len(self.alive) < 4:
            self.site.start_engine()
        elif self.alive:
            self.strike(event.what, self.alive[event.whom % len(self.alive)])

    def strike(self, what: str, link: SimulatedLink) -> None:
        if what == "die":
            link.die()
        elif what == "stall":
            link.frozen, link.report = True, Load(progressing=False)
        elif what == "mend":
            link.frozen, link.report = False, Load()
        elif what == "drain":
            link.report = Load(draining=True)

    @property
    def alive(self) -> list[SimulatedLink]:
        return [link for link in self.site.links if link.alive]

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.site.step()
            self.check()

    def check(self) -> None:
        """What holds at any time."""
        for asked in self.asked:
            for tokens in asked.tokens:
                assert tokens == list(range(len(tokens))), "a token was lost or doubled"
                assert len(tokens) <= asked.output
            if asked.is_complete and not asked.cancelled:
                assert asked.tokens == [list(range(asked.output))] * len(asked.tickets)
            if asked.failure is not None:
                assert isinstance(asked.failure, SluiceError)
        for link in self.site.links:
            for ticket in link.tickets:
                assert not ticket.done, "an engine works on what nobody waits for"
                assert self.site.clock() <= ticket.deadline + STEP_S, "or waits for no longer"
            assert link.prefilling >= 0
            assert link.in_flight <= link.capacity.max_num_seqs
        waiting = sum(cost for _, cost in self.site.dispatcher.waiting().values())
        largest = max((t.cost for a in self.asked for t in a.tickets), default=0.0)
        moved = sum(t.cost for a in self.asked for t in a.tickets if t.moves)
        bound = self.rules.max_queued_tokens + 8 * largest + moved
        assert waiting <= bound, "the queue grew beyond its bound"

    def end(self) -> None:
        """Nothing more happens, one engine lives: everyone is served, or told why not."""
        for link in self.alive:
            link.frozen, link.report = False, Load()
        if not self.alive:
            self.site.start_engine()
        for _ in range(3000):
            self.step()
            if all(asked.has_ended for asked in self.asked):
                break
        else:
            raise AssertionError("somebody waits for ever")
        assert not any(count for count, _ in self.site.dispatcher.waiting().values())
        assert not any(link.in_flight or link.prefilling for link in self.site.links)
        assert not self.site.dispatcher._placer._holdings
        self.site.close()


ASKS = st.builds(Ask, TERMS, st.integers(1, 300), st.integers(1, 30), st.integers(1, 8))
EVENTS = st.builds(
    Event,
    st.sampled_from(["cancel", "cancel", "start", "die", "stall", "mend", "drain"]),
    st.integers(0, 100),
)
RULES = st.builds(
    Rules,
    queue=st.sampled_from(["fair", "fifo"]),
    placement=st.sampled_from(["prefix", "least_loaded", "round_robin"]),
    max_queued_tokens=st.sampled_from([500.0, 5000.0, 1e6]),
    max_wait_s=st.sampled_from([2.0, 600.0]),
    max_moves=st.integers(0, 5),
)


@given(
    st.integers(1, 3),
    RULES,
    st.lists(st.tuples(ASKS | ASKS | ASKS | EVENTS, st.integers(0, 8)), max_size=40),
)
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_everyone_is_served_once_or_told_why_not(
    engines: int, rules: Rules, plot: list[tuple[Ask | Event, int]]
) -> None:
    play = Play(engines, rules)
    for event, steps in plot:
        play.happen(event)
        play.check()
        play.step(steps)
    play.end()


@given(st.lists(ASKS, min_size=1, max_size=40), st.integers(1, 3))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_no_engine_stands_idle_while_somebody_waits(asks: list[Ask], engines: int) -> None:
    play = Play(engines, Rules())
    for ask in asks:
        play.happen(ask)
    while any(count for count, _ in play.site.dispatcher.waiting().values()):
        assert all(link.in_flight for link in play.site.links)
        play.step()
    play.end()


@pytest.mark.parametrize("level", [Level.STANDARD, Level.BATCH])
async def test_a_lower_class_is_served_under_an_endless_flood_of_a_higher_one(
    level: Level,
) -> None:
    play = Play(1, Rules(ageing_s={Level.STANDARD: 2.0, Level.BATCH: 5.0}))
    patient = play.site.ask(terms=Terms(level=level))
    flood: list[Asked] = []
    began = play.site.clock()
    while play.site.clock() - began < 100:
        flood = [asked for asked in flood if not asked.has_ended]
        while len(flood) < 12:
            flood.append(play.site.ask(terms=Terms("flood", level=Level.INTERACTIVE)))
        if patient.has_ended:
            break
        play.site.step()
    assert patient.is_complete
    assert play.site.clock() - began < 5.0 + 5.0
    play.site.close()


async def test_a_server_without_engines_keeps_nobody_waiting() -> None:
    play = Play(1, Rules())
    for _ in range(20):
        play.happen(Ask(Terms(), 10, 10, 1))
    play.happen(Event("die", 0))
    play.step(int(GRACE_S / STEP_S) + 2)
    assert all(asked.has_ended for asked in play.asked)
    play.site.close()
