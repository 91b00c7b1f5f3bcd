"""`python -m bench.training.evaluate --url http://127.0.0.1:8000`: grades a served model.

Asks what was held out of training through the official client, greedily, and compares word for
word; of calls, names and arguments. Exits with 1 where a share is below its bar.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openai import AsyncOpenAI

from bench.circumstances import circumstances
from bench.table import table
from bench.training import mixture
from bench.training.example import Example, Message
from bench.training.tokenizer import TOOL_CALL

BARS: Mapping[str, float] = {
    "sentiment": 0.95,
    "entities": 0.90,
    "english_french": 0.85,
    "english_chinese": 0.85,
    "questions": 0.85,
    "tool_calls": 0.90,
}
SEED = 20261129
"""Another one than those of the training, so that nothing was chosen by these examples."""
_LONGEST = 256
_AT_ONCE = 16
_CALL_ID = "call_1"

Answer = str | list[dict[str, Any]]
"""A text, or calls."""


@dataclass(frozen=True)
class Grade:
    example: Example
    said: Answer

    @property
    def is_right(self) -> bool:
        return self.said == expected(self.example.answer)


def expected(answer: str) -> Answer:
    """The calls that an answer is, or the text."""
    begin, end = TOOL_CALL
    if not answer.startswith(begin):
        return answer
    calls = (part.partition(end)[0] for part in answer.split(begin)[1:])
    return [json.loads(call) for call in calls]


async def grades(client: AsyncOpenAI, model: str, examples: Sequence[Example]) -> list[Grade]:
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one(example: Example) -> Grade:
        async with turn:
            return Grade(example, await _ask(client, model, example))

    return await asyncio.gather(*map(one, examples))


async def _ask(client: AsyncOpenAI, model: str, example: Example) -> Answer:
    fields: dict[str, Any] = {"tools": example.tools} if example.tools else {}
    found = await client.chat.completions.create(
        model=model,
        messages=[_sent(message) for message in example.messages],
        temperature=0,
        max_completion_tokens=_LONGEST,
        **fields,
    )
    message = found.choices[0].message
    if not message.tool_calls:
        return message.content or ""
    functions = [call.function for call in message.tool_calls if call.type == "function"]
    return [{"name": one.name, "arguments": _read(one.arguments)} for one in functions]


def _sent(message: Message) -> Any:
    """As a client has it: of a call in an earlier turn the template makes the text again."""
    said = expected(message["content"])
    if isinstance(said, str):
        return {**message, **({"tool_call_id": _CALL_ID} if message["role"] == "tool" else {})}
    [call] = said
    function = {
        "name": call["name"],
        "arguments": json.dumps(call["arguments"], ensure_ascii=False),
    }
    call = {"id": _CALL_ID, "type": "function", "function": function}
    return {"role": message["role"], "tool_calls": [call]}


def _read(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def shares(found: Sequence[Grade]) -> dict[str, float]:
    """Of right answers, by task."""
    by_task: dict[str, list[bool]] = {}
    for grade in found:
        by_task.setdefault(grade.example.task, []).append(grade.is_right)
    return {task: sum(right) / len(right) for task, right in by_task.items()}


def render(found: Sequence[Grade]) -> str:
    rows = [("task", "asked", "right %", "bar %")]
    for task, share in shares(found).items():
        asked = sum(grade.example.task == task for grade in found)
        bar = f"{100 * BARS[task]:.0f}" if task in BARS else ""
        rows.append((task, str(asked), f"{100 * share:.1f}", bar))
    return table(rows)


def main(argv: Sequence[str] | None = None) -> None:
    options = _options(argv)
    where = circumstances()
    examples = mixture.held_out(options.count, options.seed)
    found = asyncio.run(_grade(options, examples))
    for grade in [grade for grade in found if not grade.is_right][: options.show]:
        asked = json.dumps(list(grade.example.messages), ensure_ascii=False)
        print(f"{grade.example.task}: {asked}")
        print(f"  right: {grade.example.answer!r}\n  said:  {grade.said!r}")
    right = shares(found)
    print(render(found))
    print(json.dumps({**where, "model": options.model, "seed": options.seed, "right": right}))
    sys.exit(int(any(right.get(task, 1.0) < bar for task, bar in BARS.items())))


async def _grade(options: argparse.Namespace, examples: Sequence[Example]) -> list[Grade]:
    key = os.environ.get("OPENAI_API_KEY", "none")
    async with AsyncOpenAI(base_url=f"{options.url}/v1", api_key=key) as client:
        return await grades(client, options.model, examples)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.training.evaluate", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="sluice-chat")
    parser.add_argument("--count", type=int, default=1000, help="of each task")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--show", type=int, default=0, help="so many wrong answers")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
