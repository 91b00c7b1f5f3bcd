"""What Locust is given (`-f`): the users, the options, and what comes before and after a test."""

import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from locust import events
from locust.env import Environment
from locust.runners import Runner, WorkerRunner

from bench.locust import entries, options, slo
from bench.locust.ending import Ending
from bench.locust.models import NoModel
from bench.locust.options import WrongOption
from bench.locust.preparation import choose_users, find_models, set_shape, watch_server
from bench.locust.users import Abusive, Arrivals, Batch, Chat, Completion, Embeddings, LongContext

__all__ = ("Abusive", "Arrivals", "Batch", "Chat", "Completion", "Embeddings", "LongContext")


@events.init_command_line_parser.add_listener
def _add_options(parser: ArgumentParser, **_: Any) -> None:
    options.add(parser)


@events.init.add_listener
def _prepare(environment: Environment, runner: Runner, **_: Any) -> None:
    entries.keep_digits()
    entries.keep_apart(environment.stats)
    given = environment.parsed_options
    assert isinstance(given, Namespace)
    try:
        if isinstance(runner, WorkerRunner):
            options.key_of(os.environ)
            return  # its master tells it all the rest
        options.settle(given, os.environ)
        find_models(given, os.environ)
        server = watch_server(given, os.environ)
    except (WrongOption, NoModel) as exc:
        sys.exit(f"locust: error: {exc}")
    environment.host = given.host
    choose_users(environment, given)
    set_shape(environment, runner, given)
    objectives = slo.read(Path(given.slo)) if given.slo else []
    ending = Ending(environment, objectives, given.csv_prefix, server)
    events.test_start.add_listener(ending.begin)
    events.quitting.add_listener(ending.judge)
    events.quit.add_listener(ending.tell)
