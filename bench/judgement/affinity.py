"""How much of the prompts is in the engines' prefix caches, by placement policy.

Two engine replicas and some dozens of conversations that share a few system prompts and grow from
turn to turn. Every policy has a server of its own in each round, with prompts that no other has
had.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import notebook
from bench.judgement.conversations import Talk, Turn, hold
from bench.judgement.serving import Wanted, serving
from bench.notebook import Bar, Notebook, figure, say
from bench.stats import Percentiles, median, ratio
from bench.table import table

_OURS, _BASE = "prefix", "round_robin"
_SEEDS_A_RUN = 1000


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What one policy came to in one round."""

    policy: str
    round: int
    sent: int
    refused: int
    lost: int
    cached_share: float
    """Of all prompt tokens."""
    later_share: float
    """Of those of every turn but a conversation's first."""
    ttft_p50_ms: float
    ttft_p99_ms: float
    tok_s: float


def visit(policy: str, number: int, turns: Sequence[Turn]) -> Visit:
    """Sums up one talk."""
    outcomes = [turn.outcome for turn in turns]
    whole = [one for one in outcomes if one.whole]
    ttft = Percentiles.of((one.ttft_s for one in whole if one.ttft_s is not None), 1e3)
    began = min((one.sent_at for one in whole), default=0.0)
    ended = max((one.done_at for one in whole), default=0.0)
    tokens = sum(one.tokens for one in whole)
    return Visit(
        policy=policy,
        round=number,
        sent=len(outcomes),
        refused=sum(one.refused for one in outcomes),
        lost=sum(one.lost for one in outcomes),
        cached_share=cached_share(turns),
        later_share=cached_share([turn for turn in turns if turn.turn]),
        ttft_p50_ms=ttft.p50,
        ttft_p99_ms=ttft.p99,
        tok_s=tokens / (ended - began) if ended > began else float("nan"),
    )


def cached_share(turns: Sequence[Turn]) -> float:
    """Cached prompt tokens over all prompt tokens, of the turns that were answered."""
    prompt = sum(turn.outcome.prompt_tokens for turn in turns if turn.outcome.whole)
    cached = sum(turn.outcome.cached_tokens for turn in turns if turn.outcome.whole)
    return cached / prompt if prompt else float("nan")


def run(options: argparse.Namespace, book: Notebook, logs: Path) -> list[Visit]:
    """Every policy in every round. Raises StackFailed or ClientFailed."""
    model, directory = notebook.model(options.model)
    policies: tuple[str, ...] = options.policies
    found: list[Visit] = []
    for number in range(options.rounds):
        first = number % len(policies)
        for policy in policies[first:] + policies[:first]:
            say(f"round {number + 1} of {options.rounds}: {policy} starts")
            wanted = Wanted(
                model,
                directory,
                options.replicas,
                engine_args={"max_model_len": 2048, **options.engine_args},
                router={"placement": policy},
            )
            with serving("sluice", wanted, logs / f"{number + 1}-{policy}") as server:
                turns = hold(_talk(options, server.address, model, len(found)))
            found.append(visit(policy, number, turns))
            book.note("visit", vars(found[-1]))
            say(f"  {found[-1]}")
    return found


def _talk(options: argparse.Namespace, url: str, model: str, place: int) -> Talk:
    return Talk(
        url=url,
        model=model,
        conversations=options.conversations,
        systems=options.systems,
        turns=options.turns,
        system_len=options.system_len,
        user_len=options.user_len,
        answer_len=options.answer_len,
        think_s=options.think_s,
        seed=options.seed * _SEEDS_A_RUN + place,
    )


_COUNTS = ("sent", "refused", "lost")
_FIGURES = ("cached_share", "later_share", "ttft_p50_ms", "ttft_p99_ms", "tok_s")


def report(book: Notebook, options: argparse.Namespace, visits: Sequence[Visit]) -> int:
    """Print and store everything; returns the exit status."""
    by_policy = {
        policy: [one for one in visits if one.policy == policy] for policy in options.policies
    }
    rows = [["policy", *_COUNTS, "cached", "cached later", "TTFT p50", "TTFT p99", "tok/s"]]
    results: dict[str, dict[str, Any]] = {}
    for policy, mine in by_policy.items():
        sums = {name: sum(getattr(one, name) for one in mine) for name in _COUNTS}
        medians = {name: median(getattr(one, name) for one in mine) for name in _FIGURES}
        rows.append([policy, *map(str, sums.values()), *map(figure, medians.values())])
        results[policy] = sums | medians
    title = (
        f"== {options.model}: {options.replicas} engine replicas, {options.conversations} "
        f"conversations of {options.turns} turns, {options.systems} system prompts of "
        f"{options.system_len} tokens, {options.user_len} in and {options.answer_len} out a turn =="
    )
    note = "shares of prompt tokens, later: but for first turns; ms; medians of rounds"
    ratios = _ratios(by_policy)
    sentences = "\n".join(f"{name} {figure(value)}" for name, value in ratios.items())
    lost = sum(one.lost + one.refused for one in visits)
    bars = [Bar("requests lost or refused", lost, most=0), *_bars(results)]
    blocks = [f"{title}\n{table(rows)}\n{note}", sentences]
    return book.end(blocks, bars, {"policies": results, "ratios": ratios})


def _ratios(by_policy: Mapping[str, Sequence[Visit]]) -> dict[str, float]:
    """Ours over each other policy's, pair by pair of one round, medians."""
    found = {}
    for base in by_policy if _OURS in by_policy else ():
        for name in _FIGURES if base != _OURS else ():
            pairs = zip(by_policy[_OURS], by_policy[base], strict=True)
            one = ratio((getattr(ours, name), getattr(theirs, name)) for ours, theirs in pairs)
            if one is not None:
                found[f"{_OURS} / {base}, {name}"] = one.median
    return found


def _bars(results: Mapping[str, Mapping[str, float]]) -> list[Bar]:
    if not {_OURS, _BASE} <= results.keys():
        return []
    ours, base = results[_OURS], results[_BASE]
    share = ours["cached_share"] - base["cached_share"]
    times = ours["ttft_p50_ms"] / base["ttft_p50_ms"]
    return [
        Bar("prefix: cached share above round_robin's", share, least=0.0),
        Bar("prefix: TTFT p50 over round_robin's", times, most=1.0),
    ]


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Ends the program where the options make no sense."""
    parser = notebook.parser("judgement.affinity", __doc__, model="90m", rounds=2)
    add = parser.add_argument
    policies = ("prefix", "round_robin", "least_loaded")
    add("--policies", type=lambda text: tuple(text.split(",")), default=policies)
    add("--replicas", type=int, default=2)
    for name in ("conversations", "systems", "turns", "system_len", "user_len", "answer_len"):
        add(f"--{name.replace('_', '-')}", type=int, default=getattr(Talk, name))
    add("--think-s", type=float, default=Talk.think_s, help="between turns, on average")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Measure, report, and end with 1 when a bar is missed."""
    options = parse(argv)
    notebook.end_at_sigterm()
    book = Notebook("judgement.affinity", options)
    with book.logs() as logs:
        visits = run(options, book, logs)
    sys.exit(report(book, options, visits))


if __name__ == "__main__":
    main()
