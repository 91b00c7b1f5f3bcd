"""What a server says to a case, in a form that two servers' answers can be compared in.

A stream and a whole answer of the same text look alike here; ids and times are left out.
"""

import asyncio
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx

from tests.conformance.cases import Case

TOLERANCE = 1e-3
"""Of log probabilities."""
_CONCURRENCY = 8
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")

Said = dict[str, Any]


def ask_all(url: str, cases: Sequence[Case]) -> list[Said]:
    """What the server at `url` says to each case; some of them are under way at once."""
    return asyncio.run(_ask_all(url, cases))


async def _ask_all(url: str, cases: Sequence[Case]) -> list[Said]:
    turn = asyncio.Semaphore(_CONCURRENCY)
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:

        async def ask(case: Case) -> Said:
            async with turn:
                headers = {"Content-Type": case.content_type}
                answer = await client.post(case.path, content=case.content, headers=headers)
            return said(answer) if answer.status_code != 200 else _only_asked(case, said(answer))

        return list(await asyncio.gather(*map(ask, cases)))


def _only_asked(case: Case, answer: Said) -> Said:
    """Without what vLLM tells of the prompt beside an echo, whether it was asked to or not."""
    asked = case.body
    for part in (answer, *answer.get("choices", ())):
        if not asked.get("return_token_ids"):
            part.pop("prompt_token_ids", None)
        if asked.get("prompt_logprobs") is None:
            part.pop("prompt_logprobs", None)
    return answer


def said(answer: httpx.Response) -> Said:
    """One answer; of an error only what clients go by."""
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if kind == "text/event-stream":
        return _summed(_events(answer.text))
    try:
        content = answer.json()
    except ValueError:
        content = {"text": answer.text}
    if answer.status_code != 200:
        return {"status": answer.status_code, "error": content}
    return _summed([content])


def _events(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    assert lines, f"a stream without an event: {text!r}"
    *events, last = lines
    if last != "[DONE]":
        events.append(last)
    return [json.loads(event) for event in events]


def _summed(events: Sequence[Mapping[str, Any]]) -> Said:
    choices: dict[int, dict[str, Any]] = {}
    result: Said = {"status": 200, "usage": None, "prompt_token_ids": None, "prompt_logprobs": None}
    for event in events:
        if "error" in event:  # the status had gone out before
            return {"status": event["error"].get("code"), "error": event}
        if event.get("usage"):
            result["usage"] = {name: event["usage"][name] for name in _COUNTS}
        for name in ("prompt_token_ids", "prompt_logprobs"):
            if event.get(name) is not None:
                result[name] = event[name]
        for piece in event["choices"]:
            _add(choices.setdefault(piece["index"], {"text": "", "calls": []}), piece)
    result["choices"] = [choices[index] for index in sorted(choices)]
    return result


def _add(choice: dict[str, Any], piece: Mapping[str, Any]) -> None:
    """One event's share of a choice; a whole answer is the only event of its kind."""
    words = piece.get("message") or piece.get("delta") or piece
    choice["text"] += words.get("content") or words.get("text") or ""
    if words.get("reasoning"):
        choice["reasoning"] = choice.get("reasoning", "") + words["reasoning"]
    for call in words.get("tool_calls") or ():
        _add_call(choice["calls"], call)
    if piece.get("logprobs"):
        choice["logprobs"] = choice.get("logprobs", []) + _rows(piece["logprobs"])
    for name in ("finish_reason", "stop_reason", "prompt_logprobs"):
        if piece.get(name) is not None:
            choice[name] = piece[name]
    for name in ("token_ids", "prompt_token_ids"):
        if piece.get(name) is not None:
            choice[name] = choice.get(name, []) + piece[name]


def _add_call(calls: list[dict[str, str]], call: Mapping[str, Any]) -> None:
    index = call.get("index", len(calls))
    if index == len(calls):
        calls.append({"name": "", "arguments": ""})
    for name in ("name", "arguments"):
        calls[index][name] += call["function"].get(name) or ""


def _rows(logprobs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry for each token, of either endpoint's shape."""
    if "tokens" in logprobs:
        tops = logprobs["top_logprobs"] or [None] * len(logprobs["tokens"])
        columns = (logprobs["tokens"], logprobs["token_logprobs"], tops, logprobs["text_offset"])
        names = ("token", "logprob", "top", "offset")
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return [
        {
            "token": entry["token"],
            "logprob": entry["logprob"],
            "bytes": entry["bytes"],
            "top": _others(entry),
        }
        for entry in logprobs["content"] or ()
    ]


def _others(entry: Mapping[str, Any]) -> dict[str, float]:
    """The alternatives to a token, as many as either server tells.

    When the token is not among the likeliest, vLLM has it among them all the same, in the place of
    the last.
    """
    others = [other for other in entry["top_logprobs"] if other["token"] != entry["token"]]
    others.sort(key=lambda other: -other["logprob"])
    return {each["token"]: each["logprob"] for each in others[: len(entry["top_logprobs"]) - 1]}


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Where two things that were said are not the same."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys(), key=str):
            yield from differences(one.get(key), other.get(key), f"{path}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{path}[{index}]")
    elif isinstance(one, float) and isinstance(other, (float, int)):
        if not math.isclose(one, other, abs_tol=TOLERANCE, rel_tol=0):
            yield f"{path}: {one} and {other}"
    elif one != other:
        yield f"{path}: {one!r} and {other!r}"
