"""What it costs to move one engine step from an engine replica to a router.

The same step message, 64 deltas, once every few milliseconds: over a Ray Serve streaming call (its
fastest form, the throughput flags set) and over our own TCP frames. CPU is that of both replicas,
user and system, over the number of steps; the delay is from sending to having decoded.

    python -m bench.transport
"""

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from deployments.messages import Delta, Load, Step
from deployments.wire import Connection


def a_step(width: int) -> Step:
    """One token for each of `width` sequences; the load's step time carries when it was sent."""
    deltas = [Delta(index, " token", [index]) for index in range(width)]
    return Step(deltas, Load(step_time_s=time.monotonic()))


def cpu_s() -> float:
    """User and system seconds of this process so far."""
    times = os.times()
    return times.user + times.system


class Source:
    """The engine's side."""

    async def stream(self, steps: int, period_s: float, width: int) -> AsyncIterator[bytes]:
        """The steps as items of a streaming call."""
        encode = msgspec.msgpack.Encoder().encode
        for _ in range(steps):
            await asyncio.sleep(period_s)
            yield encode(a_step(width))

    async def listen(self, steps: int, period_s: float, width: int) -> int:
        """The steps as frames to the first that connects to the returned port."""
        loop = asyncio.get_running_loop()

        async def send(to: Connection[Step]) -> None:
            for _ in range(steps):
                await asyncio.sleep(period_s)
                to.send(a_step(width))

        def made(connection: Connection[Step]) -> None:
            self._sending = loop.create_task(send(connection))

        server = await loop.create_server(
            lambda: Connection(Step, lambda *_: None, lambda _: None, made), "127.0.0.1", 0
        )
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def cpu_s(self) -> float:
        """CPU seconds of the source's process."""
        return cpu_s()


class Sink:
    """The router's side, which measures."""

    def __init__(self, source: Any) -> None:
        self._source = source

    async def over_ray(self, steps: int, period_s: float, width: int) -> tuple[float, float]:
        """CPU microseconds a step, and the median delay in milliseconds."""
        decode = msgspec.msgpack.Decoder(Step).decode
        delays = []
        before = cpu_s() + await self._source.cpu_s.remote()
        calls = self._source.options(stream=True).stream.remote(steps, period_s, width)
        async for item in calls:
            step = decode(item)
            delays.append(time.monotonic() - step.load.step_time_s)
        after = cpu_s() + await self._source.cpu_s.remote()
        return 1e6 * (after - before) / steps, 1e3 * statistics.median(delays)

    async def over_tcp(self, steps: int, period_s: float, width: int) -> tuple[float, float]:
        """The same over our own frames."""
        delays: list[float] = []
        everything = asyncio.Event()

        def received(_: Connection[Step], step: Step) -> None:
            delays.append(time.monotonic() - step.load.step_time_s)
            if len(delays) == steps:
                everything.set()

        port = await self._source.listen.remote(steps, period_s, width)
        before = cpu_s() + await self._source.cpu_s.remote()
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection[Step](Step, received, lambda _: None), "127.0.0.1", port
        )
        await everything.wait()
        connection.close()
        after = cpu_s() + await self._source.cpu_s.remote()
        return 1e6 * (after - before) / steps, 1e3 * statistics.median(delays)

    async def compare(self, rounds: int, *load: Any) -> list[dict[str, tuple[float, float]]]:
        """Interleaved rounds of both."""
        return [
            {"ray": await self.over_ray(*load), "tcp": await self.over_tcp(*load)}
            for _ in range(rounds)
        ]


def main() -> None:
    """Measure and print a table, one JSON line last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--period-ms", type=float, default=5.0)
    parser.add_argument("--width", type=int, default=64)
    args = parser.parse_args()
    os.environ["RAY_SERVE_THROUGHPUT_OPTIMIZED"] = "1"
    os.environ["RAY_SERVE_LOG_TO_STDERR"] = "0"
    import ray

    ray.init(num_cpus=4, include_dashboard=False, logging_level="ERROR")
    # Only for this process, which has no event loop; the replicas are faster without it.
    os.environ["RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP"] = "1"
    from ray import serve

    app = serve.deployment(Sink).bind(serve.deployment(Source).bind())
    sink = serve.run(app, route_prefix=None)
    load = (args.steps, args.period_ms / 1e3, args.width)
    measured = sink.compare.remote(args.rounds, *load)
    results = measured.result()
    print(f"{'round':6}{'ray us/step':>14}{'tcp us/step':>14}{'ray ms':>10}{'tcp ms':>10}")
    for number, result in enumerate(results, 1):
        (ray_cpu, ray_ms), (tcp_cpu, tcp_ms) = result["ray"], result["tcp"]
        print(f"{number:<6}{ray_cpu:>14.0f}{tcp_cpu:>14.0f}{ray_ms:>10.2f}{tcp_ms:>10.2f}")
    print(json.dumps({"load": vars(args), "rounds": results}))
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
