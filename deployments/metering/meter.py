"""What a router replica counts of one model. Pure: the caller brings the clock."""

from collections import Counter, defaultdict

from deployments.metering import families
from deployments.metering.account import Account
from deployments.metering.histogram import Histogram
from deployments.metering.inter_token import InterToken
from deployments.scheduling.terms import Level
from deployments.ticket import Ticket


class FirstToken:
    """Where the time to the first tokens of a class went."""

    def __init__(self) -> None:
        self.framework_s = Histogram(families.COARSE_S)
        self.queue_s = Histogram(families.COARSE_S)
        self.engine_s = Histogram(families.COARSE_S)


class ClassMeter:
    """Of one class of requests."""

    def __init__(self) -> None:
        self.admitted = 0
        self.refused = Counter[str]()
        """By error code."""
        self.failed = Counter[str]()
        self.first_token = FirstToken(), FirstToken()
        """Of what is answered whole, and of what is streamed."""
        self.predicted_s = Histogram(families.COARSE_S)
        self.actual_s = Histogram(families.COARSE_S)


class Meter:
    """Of one model, since the router replica began."""

    def __init__(self) -> None:
        self.classes = {level: ClassMeter() for level in Level}
        self.accounts = defaultdict[str, Account](Account)
        """By tenant."""
        self.first_token_s = Histogram(families.FIRST_S), Histogram(families.FIRST_S)
        self.inter_token = InterToken(streamed=False), InterToken(streamed=True)
        """Of what is answered whole, and of what is streamed."""
        self.looked_up = self.found_cached = 0
        """Tokens, in engines' prefix caches."""
        self.finished = Counter[str]()
        """Sequences by finish reason."""

    def placed(self, ticket: Ticket, cached: int) -> None:
        """An engine has begun with a ticket, of which it had so many tokens cached."""
        self.looked_up += ticket.context
        self.found_cached += cached
        if not ticket.emitted:  # else another engine has begun with it before
            ticket.account.prompt += len(ticket.prompt)
            ticket.account.cached += cached

    def began(self, ticket: Ticket, now: float) -> None:
        """The first token of a request has come, and it is of this ticket."""
        assert ticket.placed_at is not None
        meter, streamed = self.classes[ticket.terms.level], ticket.terms.streamed
        parts = meter.first_token[streamed]
        due_since = ticket.terms.due_since or ticket.arrived_at
        parts.framework_s.observe(ticket.arrived_at - due_since)
        parts.queue_s.observe(ticket.placed_at - ticket.arrived_at)
        parts.engine_s.observe(now - ticket.placed_at)
        meter.predicted_s.observe(ticket.stream.predicted_s)
        meter.actual_s.observe(now - ticket.arrived_at)
        self.first_token_s[streamed].observe(now - due_since)
