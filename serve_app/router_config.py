"""The `router:` section of the configuration: who waits, for how long, and who goes where.

router:
  placement: prefix
  deadlines_ms: {interactive: 5000}
"""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from serve_app.section import Percent, Section


class DeadlinesConfig(Section):
    """Within how many milliseconds the first token must come, by class, if a request does not say;
    null waits as long as `max_wait_s`."""

    interactive: PositiveInt | None = 30_000
    standard: PositiveInt | None = 120_000
    batch: PositiveInt | None = None


class AgeingConfig(Section):
    """After how many seconds in the queue a request of a lower class gets its turns even while
    higher classes are waiting."""

    standard: PositiveFloat = 10
    batch: PositiveFloat = 60


class RouterConfig(Section):
    """The router replicas, which speak HTTP and hold every token stream."""

    num_replicas: PositiveInt = 1
    num_cpus: NonNegativeFloat = 0.5
    """Logical CPUs that Ray reserves for each replica."""
    resources: dict[str, PositiveFloat] = Field(default_factory=dict)
    """What else Ray reserves for each, by Ray's names: streams live in these replicas, and what
    only nodes that stay have keeps them off those that come and go."""
    max_surge_percent: Percent = 100
    """So many more replicas, one at least, there may be during an update: a new one is ready before
    an old one stops."""
    drain_timeout_s: PositiveFloat = 600
    """How long the streams of a replica that is stopped may go on; what is left then is cut off."""
    max_sequences: PositiveInt = 32_768
    """Waiting or under way in one replica; a request beyond gets 503 with Retry-After."""
    queue: Literal["fair", "fifo"] = "fair"
    """Who goes first: by class and fairly between tenants, or in the order of arrival."""
    placement: Literal["prefix", "least_loaded", "round_robin"] = "prefix"
    """Which engine takes a sequence: the one that saves most work, has least, or is next."""
    max_queued_tokens: PositiveInt = 1_000_000
    """Tokens of work that may wait before a request, a generated token counted twice; a request
    beyond, or with four times as much waiting in all, gets 503 with Retry-After."""
    max_wait_s: PositiveFloat = 600
    """How long any request may wait for an engine."""
    max_moves: NonNegativeInt = 5
    """How often a sequence goes on with another engine after one has failed it."""
    deadlines_ms: DeadlinesConfig = DeadlinesConfig()
    ageing_s: AgeingConfig = AgeingConfig()
    stream_buffer_chars: PositiveInt = 1_000_000
    """Text a slow reader may leave unread before it is cut off."""
