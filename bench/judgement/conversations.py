"""Conversations over completions: each turn's prompt is all that was said before and something new.

Always a process of its own (`hold`). Every conversation waits for its answer before it goes on.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import uvloop

from bench.client import Load
from bench.judgement.apart import Apart, serve_parent
from bench.judgement.exchange import Outcome, Sender, completion_body, post
from bench.judgement.transcript import Transcript

_PATH = "/v1/completions"


@dataclass(frozen=True, kw_only=True)
class Talk:
    """So many conversations at once, over a few system prompts that they share."""

    url: str
    model: str
    conversations: int = 32
    systems: int = 4
    turns: int = 5
    system_len: int = 512
    """Tokens of a system prompt."""
    user_len: int = 64
    """Tokens that the user adds in each turn."""
    answer_len: int = 64
    think_s: float = 0.5
    """Between an answer and the next turn, on average (exponential)."""
    vocab: int = Load.vocab
    seed: int = 0
    """No two seeds have a prompt in common."""
    headers: Mapping[str, str] = field(default_factory=dict)
    patience_s: float = 120.0

    @property
    def longest_s(self) -> float:
        """No talk takes longer."""
        return self.turns * (self.patience_s + 20 * self.think_s)


@dataclass(frozen=True)
class Turn:
    """One answer of one conversation."""

    conversation: int
    turn: int
    outcome: Outcome


def hold(talk: Talk) -> list[Turn]:
    """Every turn of every conversation. Raises ClientFailed."""
    lines = Apart("bench.judgement.conversations", asdict(talk)).result(talk.longest_s)
    return [Turn(one["conversation"], one["turn"], Outcome(**one["outcome"])) for one in lines]


async def _hold(talk: Talk) -> list[Turn]:
    load = Load(url=talk.url, model=talk.model, output_len=talk.answer_len)
    sender = Sender(load, talk.patience_s)
    found: list[Turn] = []

    async def converse(number: int) -> None:
        draw = random.Random(f"conversation {talk.seed} {number}")
        history = _system(talk, number % talk.systems)
        for turn in range(talk.turns):
            await asyncio.sleep(draw.expovariate(1 / talk.think_s) if talk.think_s else 0)
            history += draw.choices(range(talk.vocab), k=talk.user_len)
            body = {**completion_body(load, history), "return_token_ids": True}
            request = post(load, _PATH, body, talk.headers)
            outcome, answer = await sender.exchange(request, turn, sender.now)
            found.append(Turn(number, turn, outcome))
            history += _token_ids(answer)

    await asyncio.gather(*map(converse, range(talk.conversations)))
    sender.close()
    return found


def _system(talk: Talk, number: int) -> list[int]:
    draw = random.Random(f"system {talk.seed} {number}")
    return draw.choices(range(talk.vocab), k=talk.system_len)


def _token_ids(body: bytes) -> list[int]:
    transcript = Transcript()
    transcript.feed(body)
    return transcript.token_ids


def _run(given: dict[str, Any]) -> list[dict[str, Any]]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return [asdict(turn) for turn in runner.run(_hold(Talk(**given)))]


if __name__ == "__main__":
    serve_parent(_run)
