"""How true a Retry-After is: a queue is filled at once, then only drains, and is probed meanwhile.

A process of its own. Those that fill the queue have long deadlines, the probes a short one, so that
probes are refused at first and let in when the queue has become short enough.
"""

import asyncio
import itertools
from dataclasses import asdict, dataclass, replace
from typing import Any

import uvloop

from bench.judgement.apart import Apart, serve_parent
from bench.judgement.exchange import Outcome, Sender
from bench.judgement.goodput import Probe
from bench.judgement.openloop import Traffic, requests

DEADLINE_HEADER = "x-sluice-deadline-ms"


@dataclass(frozen=True, kw_only=True)
class Drain:
    """`traffic` says what the requests are and where they go."""

    traffic: Traffic
    burst: int
    """Requests that fill the queue."""
    burst_deadline_s: float
    probe_deadline_s: float
    probe_every_s: float = 0.1
    settle_s: float = 0.5
    """From the burst to the first probe."""


@dataclass(frozen=True, kw_only=True)
class Drained:
    """What one drain showed."""

    probes: list[Probe]
    lost: int
    """Requests, of burst and probes, that were neither answered nor refused."""
    refused: int
    """Of the burst."""


def run(drain: Drain) -> Drained:
    """From the burst to the end of everything. Raises ClientFailed."""
    (line,) = Apart("bench.judgement.drain", asdict(drain)).result(drain.traffic.longest_s)
    return Drained(**{**line, "probes": [Probe(**probe) for probe in line["probes"]]})


async def _drain(drain: Drain) -> Drained:
    sender = Sender(drain.traffic.load(), drain.traffic.patience_s)
    filling = requests(_with_deadline(drain.traffic, drain.burst_deadline_s), 0)
    probing = requests(_with_deadline(drain.traffic, drain.probe_deadline_s), 1)
    burst = [
        asyncio.create_task(sender.send(request, number, 0.0))
        for number, request in enumerate(itertools.islice(filling, drain.burst))
    ]
    await asyncio.sleep(drain.settle_s)
    found: list[tuple[Probe, Outcome]] = []
    while sender.now < drain.traffic.seconds and not (found and found[-1][0].admitted):
        at_s = sender.now
        probe = asyncio.create_task(sender.send(next(probing), len(found), at_s))
        # Refused at once or let in: who is let in is not waited for here.
        done, _ = await asyncio.wait([probe], timeout=drain.probe_every_s)
        if not done:
            await probe
        found.append((_probe(probe.result()), probe.result()))
        await asyncio.sleep(at_s + drain.probe_every_s - sender.now)
    filled = await asyncio.gather(*burst)
    sender.close()
    return Drained(
        probes=[probe for probe, _ in found],
        lost=sum(one.lost for one in [*filled, *(outcome for _, outcome in found)]),
        refused=sum(one.refused for one in filled),
    )


def _probe(outcome: Outcome) -> Probe:
    if not outcome.refused:
        return Probe(at_s=outcome.sent_at, admitted=outcome.whole)
    told = outcome.retry_after_ms
    told_s = outcome.retry_after_s if told is None else told / 1000
    return Probe(at_s=outcome.done_at, told_s=told_s)


def _with_deadline(traffic: Traffic, seconds: float) -> Traffic:
    return replace(
        traffic, headers={**traffic.headers, DEADLINE_HEADER: str(round(seconds * 1000))}
    )


def _run(given: dict[str, Any]) -> list[dict[str, Any]]:
    drain = Drain(**{**given, "traffic": Traffic(**given["traffic"])})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return [asdict(runner.run(_drain(drain)))]


if __name__ == "__main__":
    serve_parent(_run)
