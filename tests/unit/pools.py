"""What tests of an engine pool have in common."""

from deployments.pool import EnginePool
from deployments.scheduling.terms import Terms
from deployments.stream import Stream
from tests.unit.fakes import until
from tests.unit.peers import SAMPLING


async def ready(engines: EnginePool, count: int) -> None:
    await until(lambda: sum(link.takes_work for link in engines.links) == count)


def ask(engines: EnginePool, count: int = 1) -> Stream:
    """A request of `count` sequences, and what comes of it."""
    stream = Stream(count, 100)
    engines.dispatcher.admit([([1], SAMPLING)] * count, Terms(), stream)
    return stream


def waiting(engines: EnginePool) -> int:
    return sum(count for count, _ in engines.dispatcher.waiting().values())
