"""What the endpoints work with: the router, the tokenizers and the limits."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deployments.forms import Forms
from deployments.metering.metrics import Metrics
from deployments.router import Router
from deployments.scheduling.terms import Level
from deployments.speech import Parsing
from deployments.tokenizing import Tokenizing
from serve_app.limits import DEFAULT_LIMITS, Limits


@dataclass(frozen=True)
class Service:
    """One for each router replica, kept in the application's state."""

    router: Router
    tokenizers: Mapping[str, Tokenizing]
    max_body_bytes: int
    stream_buffer_chars: int
    forms: Forms
    """Who says whether text can be held to a form."""
    metrics: Metrics
    """What there is to tell of it."""
    deadlines: Mapping[Level, float | None] = field(default_factory=dict)
    """Within how many seconds the first token must come, by class, if a request does not say."""
    share_prefix_cache: bool = False
    """Whether tenants share cached prefixes."""
    parsings: Mapping[str, Parsing] = field(default_factory=dict)
    """How a model marks thoughts and calls of tools, for those of which it is known."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where each model comes from."""
    adapter_dirs: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    """From where adapters for each model may be loaded, as paths without links."""
    limits: Limits = DEFAULT_LIMITS
    """How much one request may ask for."""
    created: int = field(default_factory=lambda: int(time.time()))
    """When this replica began to serve its models, in Unix seconds."""

    def tokenizing(self, model: str) -> Tokenizing:
        """The tokenizer of a model, or of the one that an adapter is for. Raises ModelNotFound."""
        return self.tokenizers[self.router.served(model).base]

    def deadlines_for(self, model: str) -> Mapping[Level, float | None]:
        """The classes' deadlines, unless nobody is there to keep them: a start takes its time."""
        return {} if self.router.pool(model).asleep else self.deadlines

    def parsing(self, model: str) -> Parsing | None:
        """How a model, or the one that an adapter is for, marks thoughts and calls of tools."""
        return self.parsings.get(self.router.served(model).base)
