"""Streams whose engine is killed: what the client reads is what it would have read anyway.

In float32, so that the make-up of a batch changes no token. A greedy stream loses its engine
(SIGKILL) when 0, 1, 2 ... of its tokens have come; so do a stream that follows a JSON schema and
one that calls a tool, at ten points each; then hundreds of streams run while one engine after the
other is killed. Text, token ids, finish reason and usage have to be those of the undisturbed run.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import uvloop

from bench import notebook
from bench.client import Load, go_first
from bench.judgement.kills_report import Trial, report
from bench.judgement.serving import Sluice, Wanted, serving
from bench.judgement.storm import HUNG, Storm, Weather
from bench.judgement.surgery import Patient, Surgeon, patients
from bench.judgement.transcript import BROKEN, SAME, compare
from bench.judgement.watching import Call, Watcher
from bench.notebook import Notebook, say

PLAIN, SCHEMA, TOOL = "plain", "schema", "tool"
_ENGINE_ARGS = {"dtype": "float32", "max_model_len": 1024}
_WORDS = ["river", "stone", "cloud", "winter", "garden", "paper", "silver", "morning"]
_OBJECT = {
    "type": "object",
    "properties": {
        "title": {"enum": _WORDS},
        "words": {"type": "array", "items": {"enum": _WORDS}, "minItems": 8, "maxItems": 8},
        "count": {"type": "integer", "minimum": 0, "maximum": 999},
        "good": {"type": "boolean"},
    },
    "required": ["title", "words", "count", "good"],
    "additionalProperties": False,
}
_MOST_TOKENS = 300
_POLL_S = 0.05


def plain(model: str, seed: int, number: int, length: int) -> Call:
    """A greedy completion of `length` tokens."""
    prompt = random.Random(f"plain {seed} {number}").choices(range(6, 2048), k=64)
    body = {"prompt": prompt, "max_tokens": length, "ignore_eos": True}
    return Call("/v1/completions", {**_common(model), **body})


def schema(model: str, seed: int, number: int, _: int) -> Call:
    """A chat whose answer follows a JSON schema."""
    wanted = {"name": "report", "schema": _OBJECT, "strict": True}
    body = {"response_format": {"type": "json_schema", "json_schema": wanted}}
    return Call("/v1/chat/completions", {**_chat(model, seed, number), **body})


def tool(model: str, seed: int, number: int, _: int) -> Call:
    """A chat that calls a given tool."""
    function = {"name": "file_report", "description": "Files it", "parameters": _OBJECT}
    body = {
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "file_report"}},
    }
    return Call("/v1/chat/completions", {**_chat(model, seed, number), **body})


def _chat(model: str, seed: int, number: int) -> dict[str, Any]:
    words = random.Random(f"chat {seed} {number}").choices(_WORDS, k=12)
    messages = [{"role": "user", "content": "A report on " + " ".join(words)}]
    return {**_common(model), "messages": messages, "max_tokens": _MOST_TOKENS}


def _common(model: str) -> dict[str, Any]:
    return {
        "model": model,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_token_ids": True,
    }


KINDS: dict[str, Callable[[str, int, int, int], Call]] = {
    PLAIN: plain,
    SCHEMA: schema,
    TOOL: tool,
}


class Kills:
    """All trials on one running server."""

    def __init__(self, options: argparse.Namespace, book: Notebook, server: Sluice) -> None:
        self._options = options
        self._book = book
        self._server = server
        self._model = notebook.model(options.model)[0]
        load = Load(url=server.address, model=self._model)
        self._watcher = Watcher(load, options.patience_s)

    async def trials(self, kind: str) -> list[Trial]:
        """A kind of stream, killed at each of its indexes."""
        options = self._options
        if kind == PLAIN:
            indexes: Sequence[int] = options.indexes
        else:
            transcript, _ = await self._watcher.call(self._call(kind, 0))
            if not transcript.whole:
                return [Trial.failed(kind, transcript.error or "no whole stream")]
            length = len(transcript.token_ids)
            indexes = sorted({length * k // options.points for k in range(options.points)})
        found = []
        for index in indexes:
            trial = await self._trial(kind, index)
            self._book.note("trial", asdict(trial))
            say(f"  {kind} {index}: {trial}")
            found.append(trial)
        return found

    async def storm(self) -> Storm:
        """Many streams under repeated kills."""
        options = self._options
        weather = Weather(
            self._server,
            self._watcher,
            users=options.users,
            streams=options.streams,
            kills=options.kills,
            seed=options.seed,
        )
        calls = [
            plain(self._model, options.seed + 1, number, options.storm_tokens)
            for number in range(options.streams)
        ]
        references = await weather.undisturbed(calls)
        if broken := [one.error for one in references if not one.whole]:
            said = [error or "no whole stream" for error in broken]
            return Storm(len(calls), Counter({BROKEN: len(broken)}), said=said)
        say(f"  {len(calls)} undisturbed streams; now the kills")
        return await weather.run(calls, references)

    async def _trial(self, kind: str, index: int) -> Trial:
        call = self._call(kind, 0 if kind != PLAIN else index)
        reference, _ = await self._watcher.call(call)
        once_more, _ = await self._watcher.call(call)
        verdict, said = compare(reference, once_more)
        if verdict != SAME:
            return Trial.failed(kind, f"two undisturbed runs differ: {said}", index)
        before = {engine.replica for engine in self._server.engines()}
        for tries in range(1, self._options.tries + 1):
            surgeon = Surgeon(self._ward(), kill_core=self._options.core)
            exact = tries < self._options.tries
            cut = await self._watcher.cut(call, index, surgeon, exact=exact)
            if cut.killed:
                break
        verdict, said = (HUNG, "") if cut.hung else compare(reference, cut.transcript)
        replaced = self._server.wait_until_replaced(before) if cut.killed else None
        return Trial(
            kind=kind,
            index=index,
            reached=cut.reached,
            tokens=len(reference.token_ids),
            killed=cut.killed,
            share=cut.share,
            tries=tries,
            verdict=verdict,
            said=said,
            replaced_after_s=replaced,
        )

    def _ward(self) -> list[Patient]:
        """All engine replicas; the last to come may not have its engine core's name yet."""
        while len(ward := patients(self._server.replicas())) < self._options.replicas:
            time.sleep(_POLL_S)
        return ward

    def _call(self, kind: str, number: int) -> Call:
        return KINDS[kind](self._model, self._options.seed, number, self._options.tokens)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Ends the program where the options make no sense."""
    parser = notebook.parser("judgement.kills", __doc__, model="small", rounds=1)
    add = parser.add_argument
    add("--replicas", type=int, default=2)
    add("--kinds", type=_kinds, default=tuple(KINDS), help=f"of {', '.join(KINDS)}; none: ''")
    add("--tokens", type=int, default=64, help="of the greedy stream")
    add("--indexes", type=_indexes, help="tokens after which it is cut, as in 0,5,10-20; else all")
    add("--points", type=int, default=10, help="where the schema's and the tool's streams are cut")
    add("--tries", type=int, default=20, help="to catch a stream at exactly its index")
    add("--core", action="store_true", help="kill the engine core, and not its replica")
    add("--streams", type=int, default=500, help="of the storm, at the least; 0 for none")
    add("--kills", type=int, default=10, help="of the storm, at the least")
    add("--users", type=int, default=16, help="streams of the storm at once")
    add("--storm-tokens", type=int, default=64)
    add("--patience-s", type=float, default=60, help="after which a stream hangs")
    options = parser.parse_args(argv)
    if options.indexes is None:
        options.indexes = tuple(range(options.tokens))
    if options.replicas < 2:
        parser.error("with one replica there is nowhere to go on")
    return options


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(filter(None, text.split(",")))
    if unknown := set(kinds) - KINDS.keys():
        raise argparse.ArgumentTypeError(f"no kind {', '.join(unknown)}")
    return kinds


def _indexes(text: str) -> tuple[int, ...]:
    """`0,5,10-20`"""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


async def _all(kills: Kills, options: argparse.Namespace) -> tuple[list[Trial], Storm | None]:
    trials = [trial for kind in options.kinds for trial in await kills.trials(kind)]
    return trials, await kills.storm() if options.streams else None


def main(argv: list[str] | None = None) -> None:
    """Measure, report, and end with 1 when a bar is missed."""
    options = parse(argv)
    notebook.end_at_sigterm()
    book = Notebook("judgement.kills", options)
    model, directory = notebook.model(options.model)
    wanted = Wanted(
        model, directory, options.replicas, engine_args={**_ENGINE_ARGS, **options.engine_args}
    )
    with book.logs() as logs, serving("sluice", wanted, logs) as server:
        go_first()  # after the server has started, which would inherit it
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            trials, storm = runner.run(_all(Kills(options, book, server), options))
    sys.exit(report(book, options, trials, storm))


if __name__ == "__main__":
    main()
