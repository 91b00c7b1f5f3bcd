"""Ray runs its replicas on uvloop: what touches the event loop is tested on it and on asyncio's."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

FACTORIES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}

on_both_loops = pytest.mark.asyncio(loop_factories=list(FACTORIES))
"""Marks an asynchronous test that runs once on each kind of event loop."""
