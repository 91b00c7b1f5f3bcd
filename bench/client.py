"""A closed-loop load on `POST /v1/completions` that takes as little CPU as it can.

Always its own process, so that its cost is known and is nobody else's:
`python -m bench.client --url http://127.0.0.1:8000 --model sluice-small --concurrency 64`.
"""

import argparse
import asyncio
import contextlib
import ipaddress
import itertools
import json
import math
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop

from bench.connection import Answer, Connection, ConnectionLost
from bench.sse import read_stream, read_whole
from bench.stats import Percentiles, to_json


@dataclass(frozen=True, kw_only=True)
class Load:
    """What to send: `num_requests`, at most `concurrency` of them under way, then the end."""

    url: str
    model: str
    concurrency: int = 64
    num_requests: int = 512
    input_len: int = 64
    output_len: int = 64
    stream: bool = True
    vocab: int = 2048
    """Prompts are ids below this, drawn by `seed`; a prompt under another seed is another."""
    seed: int = 0
    request_timeout_s: float = 120
    timeout_s: float = 900

    def address(self) -> tuple[str, int]:
        """Host and port. Raises ValueError for any host but this one: no one else gets load."""
        parts = urlsplit(self.url)
        host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
        if parts.scheme != "http" or not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"{self.url} is not http://<loopback address>:<port>")
        return host, parts.port or 80


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """What one load measured. Latencies in milliseconds, of the requests without error."""

    requests: int
    errors: dict[str, int]
    """How many requests came to nothing, by reason."""
    output_tokens: int
    """Counted by the server, in the answers' usage."""
    events: int
    """Token-bearing SSE events; fewer than tokens when the server joins tokens."""
    arrivals: int
    """Socket reads that brought them; fewer than events when they pile up."""
    seconds: float
    output_tok_s: float
    req_s: float
    ttft_ms: Percentiles
    itl_ms: Percentiles
    """Between arrivals within one answer; the wait for the first is the TTFT."""
    e2e_ms: Percentiles
    client_cpu_s: float
    client_cpu_share: float
    """Of one core."""
    client_wait_share: float = math.nan
    """Of the time, for which the client could run and got no core: what it did not see in time."""

    @classmethod
    def from_json(cls, line: str) -> "LoadResult":
        """What `--json` printed."""
        fields = json.loads(line)
        for name in ("ttft_ms", "itl_ms", "e2e_ms"):
            given = fields[name].items()
            fields[name] = Percentiles(**{k: math.nan if v is None else v for k, v in given})
        if fields.get("client_wait_share") is None:
            fields["client_wait_share"] = math.nan
        return cls(**fields)


class Tally:
    """Sums up what came of the requests of one load."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._errors: Counter[str] = Counter()
        self._answered = self._tokens = self._events = self._arrivals = 0
        self._ttft: list[float] = []
        self._itl: list[float] = []
        self._e2e: list[float] = []

    def fail(self, why: str) -> None:
        """A request came to nothing."""
        self._errors[why] += 1

    def add(
        self, tokens: int, events: int, sent_at: float, done_at: float, arrivals: Sequence[float]
    ) -> None:
        """A request was answered: with how much, in how many pieces, and when they came."""
        if tokens != self._load.output_len:
            self.fail(f"{tokens} tokens, not {self._load.output_len}")
            return
        self._answered += 1
        self._tokens += tokens
        self._e2e.append(done_at - sent_at)
        if self._load.stream:
            self._events += events
            self._arrivals += len(arrivals)
            self._ttft += [first - sent_at for first in arrivals[:1]]
            self._itl += [later - sooner for sooner, later in itertools.pairwise(arrivals)]

    def result(self, seconds: float, cpu_s: float, waited_s: float) -> LoadResult:
        """The figures, `seconds` of wall time and `cpu_s` of the client's CPU after the start."""
        # Nobody reported those that the time limit left unsent.
        missing = self._load.num_requests - self._answered - self._errors.total()
        if missing:
            self._errors["not answered within the time limit"] += missing
        return LoadResult(
            requests=self._answered,
            errors=dict(self._errors),
            output_tokens=self._tokens,
            events=self._events,
            arrivals=self._arrivals,
            seconds=seconds,
            output_tok_s=self._tokens / seconds,
            req_s=self._answered / seconds,
            ttft_ms=Percentiles.of(self._ttft, 1e3),
            itl_ms=Percentiles.of(self._itl, 1e3),
            e2e_ms=Percentiles.of(self._e2e, 1e3),
            client_cpu_s=cpu_s,
            client_cpu_share=cpu_s / seconds,
            client_wait_share=waited_s / seconds,
        )


async def closed_loop(load: Load, user: Callable[[Tally], Coroutine[Any, Any, None]]) -> LoadResult:
    """As many users as the load has, until each has ended or the load's time has."""
    tally = Tally(load)
    cpu, waited, began = time.process_time(), _waited_s(), time.perf_counter()
    users = [user(tally) for _ in range(min(load.concurrency, load.num_requests))]
    try:
        async with asyncio.timeout(load.timeout_s):
            await asyncio.gather(*users)
    except TimeoutError:
        pass  # what is missing shows in the result
    seconds = time.perf_counter() - began
    return tally.result(seconds, time.process_time() - cpu, _waited_s() - waited)


def _waited_s() -> float:
    """Seconds that this thread could have run but waited for a core; NaN where nobody knows."""
    try:
        schedstat = Path("/proc/thread-self/schedstat").read_text()
    except OSError:
        return math.nan
    return int(schedstat.split()[1]) / 1e9


def go_first() -> None:
    """Run before everything else on this machine, where that is allowed.

    A client stands for other machines. Beside servers that spin on every core it would be let on
    one seconds late, and find whole answers where it should have seen tokens come.
    """
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def prompts(load: Load) -> list[list[int]]:
    """The token ids of each request's prompt."""
    draw = random.Random(load.seed)
    ids = range(load.vocab)
    return [draw.choices(ids, k=load.input_len) for _ in range(load.num_requests)]


def requests(load: Load) -> list[bytes]:
    """Every request in full, so that making them costs nothing while the clock runs."""
    host, port = load.address()
    body = {
        "model": load.model,
        "max_tokens": load.output_len,
        "temperature": 0,
        "ignore_eos": True,
        "stream": load.stream,
    }
    if load.stream:
        body["stream_options"] = {"include_usage": True}
    made = []
    for prompt in prompts(load):
        content = json.dumps({**body, "prompt": prompt}).encode()
        head = (
            f"POST /v1/completions HTTP/1.1\r\nHost: {host}:{port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        made.append(head.encode() + content)
    return made


def _read(load: Load, answer: Answer, tally: Tally) -> None:
    body = b"".join(answer.pieces)
    if answer.status != 200:
        tally.fail(f"{answer.status} {body[:200].decode(errors='replace')}")
        return
    completion = (read_stream if load.stream else read_whole)(body)
    if completion.error is not None:
        tally.fail(completion.error)
        return
    arrivals = answer.arrivals_until(completion.tokens_end)
    tokens, events = completion.output_tokens, completion.events
    tally.add(tokens, events, answer.sent_at, answer.done_at, arrivals)


async def _work(load: Load, waiting: Iterator[bytes], tally: Tally) -> None:
    """One of the concurrent users: sends the next request when the last is answered."""
    host, port = load.address()
    connection = Connection()
    try:
        for request in waiting:
            try:
                async with asyncio.timeout(load.request_timeout_s):
                    if not connection.usable:
                        loop = asyncio.get_running_loop()
                        _, connection = await loop.create_connection(Connection, host, port)
                    answer = await connection.ask(request)
            except (OSError, TimeoutError, ConnectionLost) as exc:
                tally.fail(f"{type(exc).__name__}: {exc}")
                connection.close()
            else:
                _read(load, answer, tally)
    finally:
        connection.close()


async def _run(load: Load) -> LoadResult:
    waiting = iter(requests(load))
    return await closed_loop(load, lambda tally: _work(load, waiting, tally))


def run_load(load: Load) -> LoadResult:
    """Run `load` to its end, which `load.timeout_s` bounds."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(load))


def arguments(load: Load) -> list[str]:
    """The command line that makes `main` run `load`."""
    options = []
    for name, value in asdict(load).items():
        if name != "stream":
            options += [f"--{name.replace('_', '-')}", str(value)]
    return options if load.stream else [*options, "--no-stream"]


def parse(argv: list[str] | None = None) -> tuple[Load, bool]:
    """The load and whether its result is wanted as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.client", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", required=True)
    for name in ("concurrency", "num_requests", "input_len", "output_len", "vocab", "seed"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(Load, name))
    for name in ("request_timeout_s", "timeout_s"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(Load, name))
    parser.add_argument("--no-stream", dest="stream", action="store_false")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = vars(parser.parse_args(argv))
    as_json = options.pop("json")
    return Load(**options), as_json


def main() -> None:
    load, as_json = parse()
    go_first()
    result = asdict(run_load(load))
    if as_json:
        print(to_json(result))
        return
    for name, value in result.items():
        print(f"{name:18} {value}")


if __name__ == "__main__":
    main()
