"""What tracing costs a running server, in CPU time of all that serves.

    python -m bench.tracing_live [--requests 300] [--rounds 4] [--concurrency 32] [--share 0.1]

One server, whose clients decide by their `traceparent` what is sampled: none and all in turn, as
the difference is then large beside the noise. Spans go over HTTP to a process that is not counted.
The engine core is not counted either.
"""

import argparse
import asyncio
import json
import secrets
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

from bench.circumstances import circumstances
from bench.processes import is_engine, label_of
from bench.tracing import serve_sink
from tests.support import models, server
from tests.support.server import Server

_TOKENS = 64
_EXPORTED_S = 1.5
"""Spans go out every second here, and what that takes is to be counted."""
_BODY = json.dumps(
    {
        "model": models.SMALL,
        "prompt": list(range(10, 10 + _TOKENS)),
        "max_tokens": _TOKENS,
        "ignore_eos": True,
        "stream": True,
    }
)


async def _ask(port: int, flags: str, limit: asyncio.Semaphore) -> None:
    async with limit:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = (
            "POST /v1/completions HTTP/1.1",
            "host: localhost",
            "connection: close",
            "content-type: application/json",
            f"content-length: {len(_BODY)}",
            f"traceparent: 00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-{flags}",
        )
        writer.write("\r\n".join([*head, "", _BODY]).encode())
        tail = b""
        while piece := await reader.read(65536):
            tail = (tail + piece)[-100:]
        writer.close()
        if b"[DONE]" not in tail:
            raise RuntimeError(f"an answer ended with {tail!r}")


async def _load(port: int, requests: int, concurrency: int, *, sampled: bool) -> None:
    limit = asyncio.Semaphore(concurrency)
    flags = f"{sampled:02d}"
    await asyncio.gather(*(_ask(port, flags, limit) for _ in range(requests)))


def _spent_s(running: Server) -> float:
    total = 0.0
    for pid in running.processes():
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if not is_engine(label_of(process.cmdline(), process.name())):
                total += sum(process.cpu_times()[:2])
    return total


def measure(running: Server, requests: int, rounds: int, concurrency: int) -> dict[bool, list[int]]:
    """Microseconds of CPU a request in each round, by whether it was sampled."""
    port = int(running.url.rpartition(":")[2])
    asyncio.run(_load(port, requests, concurrency, sampled=True))  # what is first takes longer
    found: dict[bool, list[int]] = {False: [], True: []}
    for _ in range(rounds):
        for sampled, figures in found.items():
            time.sleep(_EXPORTED_S)
            before = _spent_s(running)
            asyncio.run(_load(port, requests, concurrency, sampled=sampled))
            time.sleep(_EXPORTED_S)
            figures.append(round(1e6 * (_spent_s(running) - before) / requests))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--share", type=float, default=0.1, help="of which the cost is told")
    options = parser.parse_args(arguments)
    for name, value in circumstances().items():
        print(f"{name}: {value}")
    with serve_sink() as port:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_TRACES_SAMPLER": "parentbased_always_off",
            "OTEL_BSP_SCHEDULE_DELAY": "1000",
        }
        config = {"models": models.CONFIG["models"][:1]}
        with server.start(config, env=env).serving() as running:
            found = measure(running, options.requests, options.rounds, options.concurrency)
    none, every = (statistics.median(found[sampled]) for sampled in (False, True))
    share = options.share * (every - none) / none
    print(f"{none:8.0f} us a request that is not sampled, rounds {found[False]}")
    print(f"{every:8.0f} us a request that is, rounds {found[True]}")
    print(f"{share:8.1%} more CPU for serving where {options.share:.0%} are sampled")
    result = {"not sampled": found[False], "sampled": found[True], "share": round(share, 4)}
    print(json.dumps({"us_of_cpu": result}))


if __name__ == "__main__":
    main()
