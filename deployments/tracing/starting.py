"""Where a replica begins to trace, if that is wanted."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from deployments.tracing import variables as otel

if TYPE_CHECKING:
    from deployments.tracing.provider import Tracing


def of_this_node(given: Mapping[str, str] | None) -> dict[str, str]:
    """OpenTelemetry's variables in this process: those of its node before those that were given to
    the whole application. A collector of each node's own, and its name, are told that way.

    Raises BadVariableError.
    """
    variables = {**(given or {}), **otel.of(os.environ)}
    otel.check(variables)
    return variables


def start(variables: Mapping[str, str], instance: str, *, follows: bool) -> "Tracing | None":
    """Begin to send spans; None where nobody wants them, and nothing is imported for them."""
    if not otel.are_on(variables):
        return None
    from deployments.tracing.provider import Tracing

    return Tracing(variables, instance, follows=follows)
