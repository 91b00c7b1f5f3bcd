"""What the endpoints work with: the router, the tokenizers and the limits."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from deployments.router import Router
from deployments.scheduling.terms import Level
from deployments.tokenizing import Tokenizing


@dataclass(frozen=True)
class Service:
    """One for each router replica, kept in the application's state."""

    router: Router
    tokenizers: Mapping[str, Tokenizing]
    max_body_bytes: int
    stream_buffer_chars: int
    deadlines: Mapping[Level, float | None] = field(default_factory=dict)
    """Within how many seconds the first token must come, by class, if a request does not say."""
    share_prefix_cache: bool = False
    """Whether tenants share cached prefixes."""
    created: int = field(default_factory=lambda: int(time.time()))
    """When this replica began to serve its models, in Unix seconds."""
