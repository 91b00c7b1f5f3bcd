"""From options that are right to models, users and a shape."""

import logging
from argparse import Namespace
from collections.abc import Mapping

from locust.env import Environment
from locust.runners import MasterRunner, Runner

from bench.locust import mixes
from bench.locust.exchange import Client
from bench.locust.loops import Closed, Open
from bench.locust.models import Models, NoModel
from bench.locust.options import METRICS_KEY, Settings, WrongOption, key_of
from bench.locust.server_side import ServerSide
from bench.locust.shapes import CONSTANT
from bench.locust.users import Arrivals

_EMBEDDING = "embeddings"


def find_models(options: Namespace, environ: Mapping[str, str]) -> None:
    """Fill in who is to be asked, where nobody has said it. Raises NoModel."""
    mix = dict(mixes.parse(options.mix))
    generates = options.trace or any(mix[kind] for kind in mix if kind != _EMBEDDING)
    lacks_embedding = mix.get(_EMBEDDING) and not options.embedding_model
    if not generates and not lacks_embedding:
        return
    try:
        models = Models(Client(options.host, key_of(environ), timeout_s=options.timeout))
    except NoModel:
        if options.model and not lacks_embedding:
            return  # who names all models needs no list; how long they may grow nobody knows then
        raise
    if generates and options.model:
        options.context = models.context_of(options.model)
    elif generates:
        options.model, options.context = models.generating()
    if lacks_embedding:
        try:
            options.embedding_model = models.embedding()
        except NoModel as exc:
            if options.mix not in mixes.MIXES:
                raise  # who names a kind wants it
            logging.getLogger(__name__).warning("no Embeddings users: %s", exc)
            del mix[_EMBEDDING]
            options.mix = mixes.text(mix)


def watch_server(options: Namespace, environ: Mapping[str, str]) -> ServerSide | None:
    """Who compares with what the server has measured, where that is wanted. Raises WrongOption."""
    if not options.server_metrics:
        return None
    key = key_of(environ, METRICS_KEY) or key_of(environ)

    def read() -> str:
        client = Client(options.server_metrics, key, timeout_s=options.timeout)
        try:
            return client.fetch("").decode()
        finally:
            client.close()

    server = ServerSide(read, options.model)
    try:
        server.begin()
    except (OSError, ValueError) as exc:
        raise WrongOption(f"--server-metrics: {options.server_metrics}: {exc}") from exc
    return server


def choose_users(environment: Environment, options: Namespace) -> None:
    """Give each kind its weight; in an open loop there are sources of arrivals alone."""
    settings = Settings.of(options)
    for user in environment.user_classes:
        if settings.is_open:
            user.weight = 1 if user is Arrivals else 0
        else:
            user.weight = settings.mix.get(user.__name__.lower(), 0)


def set_shape(environment: Environment, runner: Runner, options: Namespace) -> None:
    """Where Locust's own --users is not all that there is to say."""
    settings = Settings.of(options)
    if settings.is_open:
        is_master = isinstance(runner, MasterRunner)
        environment.shape_class = Open(settings, options.expect_workers if is_master else 1)
    elif settings.shape != CONSTANT:
        environment.shape_class = Closed(settings, options.num_users, options.spawn_rate)
    if environment.shape_class is not None:
        environment.shape_class.runner = runner
