"""Reads the samples out of a router when it is scraped."""

from collections.abc import Iterator, Mapping

from deployments.link import EngineLink
from deployments.metering import families
from deployments.metering.families import Family
from deployments.metering.meter import ClassMeter, Meter
from deployments.metering.sample import Sample
from deployments.pool import EnginePool
from deployments.scheduling.breaker import STATES

Pools = Mapping[str, EnginePool]

_STREAMED = "false", "true"
"""The label, in the order in which a meter has the two."""


def of_router(pools: Pools) -> Iterator[Sample]:
    """What this router replica has counted, and how it sees its queues and engines."""
    for model, pool in pools.items():
        dispatcher = pool.dispatcher
        yield from _of_meter(model, dispatcher.meter)
        yield Sample(families.MOVES, dispatcher.moves, (model,))
        error_s = dispatcher.outlook.forecast.error_s.value
        if error_s is not None:
            yield Sample(families.PREDICTION_ERROR, error_s, (model,))
        for level, (count, cost) in dispatcher.waiting().items():
            labels = model, level.name.lower()
            yield Sample(families.QUEUE_REQUESTS, count, labels)
            yield Sample(families.QUEUE_COST, cost, labels)
        for link in pool.links:
            yield from _of_link(model, link)


def of_engines(pools: Pools) -> Iterator[Sample]:
    """What engines say of themselves, which every router replica hears alike."""
    for model, pool in pools.items():
        yield Sample(families.ENGINES, len(pool.links), (model,))
        for link in pool.links:
            if link.beats:  # else nobody knows
                labels, report = (model, link.name), link.report
                yield Sample(families.RUNNING, report.running, labels)
                yield Sample(families.WAITING, report.waiting, labels)
                yield Sample(families.KV_CACHE_USAGE, report.kv_cache_usage, labels)
                yield Sample(families.STEP_TIME, report.step_time_s, labels)


def _of_meter(model: str, meter: Meter) -> Iterator[Sample]:
    accounts = meter.accounts
    totals: dict[Family, float] = {
        families.PROMPT_TOKENS: sum(account.prompt for account in accounts.values()),
        families.GENERATION_TOKENS: sum(account.generated for account in accounts.values()),
        families.PREFIX_CACHE_QUERIES: meter.looked_up,
        families.PREFIX_CACHE_HITS: meter.found_cached,
    }
    for family, value in totals.items():
        yield Sample(family, value, (model,))
    for streamed, first_s, later in zip(
        _STREAMED, meter.first_token_s, meter.inter_token, strict=True
    ):
        yield Sample(families.TIME_TO_FIRST_TOKEN, first_s, (model, streamed))
        yield Sample(families.INTER_TOKEN_LATENCY, later.whole_s, (model, streamed))
        yield Sample(families.INTER_TOKEN_ENGINE, later.engine_s, (model, streamed))
        yield Sample(families.INTER_TOKEN_FRAMEWORK, later.framework_s, (model, streamed))
    for reason, count in meter.finished.items():
        yield Sample(families.REQUEST_SUCCESS, count, (model, reason))
    for tenant, account in accounts.items():
        labels = model, tenant
        yield Sample(families.TENANT_PROMPT_TOKENS, account.prompt, labels)
        yield Sample(families.TENANT_CACHED_TOKENS, account.cached, labels)
        yield Sample(families.TENANT_GENERATION_TOKENS, account.generated, labels)
    for level, of_class in meter.classes.items():
        yield from _of_class((model, level.name.lower()), of_class)


def _of_class(labels: tuple[str, str], meter: ClassMeter) -> Iterator[Sample]:
    yield Sample(families.ADMITTED, meter.admitted, labels)
    for streamed, parts in zip(_STREAMED, meter.first_token, strict=True):
        yield Sample(families.FRAMEWORK_TIME, parts.framework_s, (*labels, streamed))
        yield Sample(families.QUEUE_TIME, parts.queue_s, (*labels, streamed))
        yield Sample(families.ENGINE_TIME, parts.engine_s, (*labels, streamed))
    yield Sample(families.PREDICTED, meter.predicted_s, labels)
    yield Sample(families.ACTUAL, meter.actual_s, labels)
    for reason, count in meter.refused.items():
        yield Sample(families.REFUSED, count, (*labels, reason))
    for reason, count in meter.failed.items():
        yield Sample(families.FAILED, count, (*labels, reason))


def _of_link(model: str, link: EngineLink) -> Iterator[Sample]:
    labels = model, link.name
    yield Sample(families.ENGINE_UP, link.beats, labels)
    yield Sample(families.ENGINE_DRAINING, link.report.draining, labels)
    for state in STATES:
        yield Sample(families.ENGINE_BREAKER, link.breaker.state == state, (*labels, state))
    yield Sample(families.ENGINE_IN_FLIGHT, link.in_flight, labels)
    yield Sample(families.BEATS_MISSED, link.beats_missed, labels)
