"""What came of killed engines: tables and bars."""

import argparse
import json
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.judgement.storm import HUNG, Storm
from bench.judgement.transcript import BROKEN, DIFFERENT, DOUBLED, LOST, SAME
from bench.notebook import Bar, Notebook, figure
from bench.table import table

_SURE = 0.7
"""Of the engines' CPU for a stream, what the killed one has to have used to be called its own."""
_SHOWN = 10
_NOTE = (
    "ran on: the least share that a killed engine had in the CPU that all used for its stream\n"
    "tries: streams until one was caught at its index; back: until the replica was replaced"
)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One stream whose engine was to be killed."""

    kind: str
    index: int
    """How many of its tokens were to have come."""
    reached: int = 0
    """How many had."""
    tokens: int = 0
    """Of the undisturbed run."""
    killed: bool = False
    """While the stream was running."""
    share: float = 0.0
    """Of the CPU that all engine cores used for it, that of the killed one."""
    tries: int = 0
    """Streams until one was caught at its index."""
    verdict: str
    said: str = ""
    replaced_after_s: float | None = None

    @classmethod
    def failed(cls, kind: str, said: str, index: int = 0) -> "Trial":
        """One that could not be made."""
        return cls(kind=kind, index=index, verdict=BROKEN, said=said)

    @property
    def hit(self) -> bool:
        """Whether the engine that the stream ran on was killed, exactly at the index."""
        return self.killed and self.reached == self.index and self.share >= _SURE


def report(
    book: Notebook, options: argparse.Namespace, trials: Sequence[Trial], storm: Storm | None
) -> int:
    """Print and store everything; returns the exit status."""
    blocks: list[str] = []
    bars: list[Bar] = []
    found: dict[str, Any] = {}
    for kind in dict.fromkeys(trial.kind for trial in trials):
        mine = [trial for trial in trials if trial.kind == kind]
        blocks.append(_kind(kind, mine, options))
        same = sum(trial.verdict == SAME and trial.hit for trial in mine)
        bars.append(Bar(f"{kind}: hit exactly at its index, and the same", same, least=len(mine)))
        found[kind] = [asdict(trial) for trial in mine]
    blocks += [_NOTE] if trials else []
    wrong = [f"{x.kind} {x.index}: {x.verdict}: {x.said}" for x in trials if x.verdict != SAME]
    if storm is not None:
        blocks.append(_storm(storm, options))
        bars += _storm_bars(storm, options)
        found["storm"] = _summary(storm)
        wrong += [f"storm: {said} ({count} x)" for said, count in Counter(storm.said).most_common()]
    blocks += ["\n".join(wrong[:_SHOWN])] if wrong else []
    return book.end(blocks, bars, found)


def _kind(kind: str, trials: Sequence[Trial], options: argparse.Namespace) -> str:
    rows = [["killed at", "streams", "hit exactly", "ran on", "tries", "same", "other", "back s"]]
    eighth = max(1, -(-len(trials) // 8))
    for start in range(0, len(trials), eighth):
        part = trials[start : start + eighth]
        back = [trial.replaced_after_s for trial in part if trial.replaced_after_s is not None]
        rows.append(
            [
                f"{part[0].index}-{part[-1].index}",
                str(len(part)),
                str(sum(trial.hit for trial in part)),
                figure(min(trial.share for trial in part)),
                str(sum(trial.tries for trial in part)),
                str(sum(trial.verdict == SAME for trial in part)),
                _counts(trial.verdict for trial in part if trial.verdict != SAME),
                figure(statistics.median(back)) if back else "-",
            ]
        )
    hits, killed = sum(trial.hit for trial in trials), sum(trial.killed for trial in trials)
    what = "engine core" if options.core else "engine replica"
    return (
        f"== {kind}: SIGKILL of the {what}, {options.replicas} replicas, float32 ==\n"
        f"{table(rows)}\n"
        f"{killed} of {len(trials)} kills fell while the stream was running, {hits} exactly at the "
        "index and on the engine that it ran on"
    )


def _storm(storm: Storm, options: argparse.Namespace) -> str:
    back = statistics.median(storm.replaced_after_s) if storm.replaced_after_s else None
    names = [SAME, LOST, DOUBLED, DIFFERENT, BROKEN, HUNG]
    rows = [
        ["streams", *names, "kills", "interrupted", "back s"],
        [
            str(storm.streams),
            *(str(storm.verdicts[name]) for name in names),
            str(storm.kills),
            str(storm.interrupted),
            figure(back),
        ],
    ]
    return (
        f"== {options.users} streams at once of {options.storm_tokens} tokens, "
        f"one engine replica of {options.replicas} killed after the other ==\n{table(rows)}\n"
        "interrupted: sequences on the killed engines, by /ready just before"
    )


def _storm_bars(storm: Storm, options: argparse.Namespace) -> list[Bar]:
    return [
        Bar("storm: streams", storm.streams, least=options.streams),
        Bar("storm: kills", storm.kills, least=options.kills),
        Bar("storm: streams interrupted", storm.interrupted, least=1),
        Bar("storm: lost", storm.verdicts[LOST] + storm.verdicts[BROKEN], most=0),
        Bar("storm: doubled", storm.verdicts[DOUBLED], most=0),
        Bar("storm: hung", storm.verdicts[HUNG], most=0),
        Bar("storm: different", storm.verdicts[DIFFERENT], most=0),
    ]


def _summary(storm: Storm) -> dict[str, Any]:
    kept = {name: getattr(storm, name) for name in ("streams", "kills", "interrupted")}
    said = dict(Counter(storm.said).most_common(_SHOWN))
    verdicts, back = dict(storm.verdicts), storm.replaced_after_s
    return {**kept, "verdicts": verdicts, "replaced_after_s": back, "said": said}


def _counts(verdicts: Any) -> str:
    return json.dumps(dict(Counter(verdicts)))[1:-1].replace('"', "")
