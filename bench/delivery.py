"""What a token costs a router between the wire and the request's reader, in CPU time.

    python -m bench.delivery [--concurrency 64] [--tokens 256] [--rounds 9]

Steps of one token for each of so many sequences go through `EngineLink`, dispatcher and stream; no
socket, no decoding. The figure is the best of the rounds, as noise only adds. Run it in two
checkouts, in turn, to see what a change costs.
"""

import argparse
import asyncio
import gc
import json
import platform
import time

from deployments.dispatcher import Dispatcher, Rules
from deployments.messages import Delta, Load, Sampling, Step
from deployments.scheduling.terms import Terms
from deployments.stream import Stream
from tests.unit.fakes import FakeClock
from tests.unit.simulation import FACTS, SimulatedLink


def round_ns(concurrency: int, tokens: int) -> float:
    """Nanoseconds a token."""
    clock = FakeClock()
    links: list[SimulatedLink] = []
    dispatcher = Dispatcher(lambda: links, Rules(), clock)
    room = {
        "max_num_seqs": 4 * concurrency,
        "kv_cache_tokens": 10**6,
        "max_num_batched_tokens": 10**6,
    }
    links.append(SimulatedLink(dispatcher, clock, **{**FACTS, **room}))
    streams = [Stream(1, 10**9) for _ in range(concurrency)]
    for stream in streams:
        dispatcher.admit([([1, 2], Sampling(max_tokens=tokens))], Terms(), stream)
    [link] = links
    ids = list(link._tickets)
    steps = [
        Step([Delta(i, " word", [7]) for i in ids], Load(running=concurrency))
        for _ in range(tokens)
    ]
    gc.disable()
    began = time.process_time_ns()
    for step in steps:
        clock.now = link._heard_at = clock.now + 0.011
        link._deliver(step)
    took = time.process_time_ns() - began
    gc.enable()
    dispatcher.close()
    return took / (tokens * len(ids))


async def measure(concurrency: int, tokens: int, rounds: int) -> list[float]:
    """Of each round."""
    return [round_ns(concurrency, tokens) for _ in range(rounds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    figures = asyncio.run(measure(options.concurrency, options.tokens, options.rounds))
    print(platform.platform(), platform.python_version())
    print(json.dumps({"ns_per_token": round(min(figures)), "rounds": [round(f) for f in figures]}))


if __name__ == "__main__":
    main()
