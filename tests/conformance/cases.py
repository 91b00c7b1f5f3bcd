"""Requests that two servers are asked alike, made from a seed."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.support import models

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
JSON = "application/json"
EOS = 1
FIRST_WORD, VOCABULARY = 6, 2048  # the ids before it are special tokens
_SPOKEN = range(450, VOCABULARY)
_TEXT = (
    "The king looked at the sea and the old bus while seven people asked about computer lamps "
    "near a quiet road in March"
)
_WORDS = _TEXT.split()
_PIECES = (" t", "er", "th", " s", "in", "ou", " a", "e w", "ing ", "st")
"""What may well occur in a few words."""

Fields = dict[str, Any]
Make = Callable[[Random], Fields]


@dataclass(frozen=True)
class Case:
    """One request; `differs` names the deliberate difference in docs/api.md that it shows."""

    name: str
    path: str
    content: bytes
    content_type: str = JSON
    differs: str | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def body(self) -> Fields:
        body: Fields = json.loads(self.content)
        return body


def case(name: str, path: str, body: Fields, differs: str | None = None) -> Case:
    """A request of a JSON body."""
    return Case(name, path, json.dumps(body).encode(), differs=differs)


def text(choose: Random, most: int = 12) -> str:
    """Some words."""
    return " ".join(choose.choices(_WORDS, k=choose.randrange(1, most + 1)))


def token_ids(choose: Random, most: int = 24) -> list[int]:
    """Tokens that are no special ones."""
    count = choose.randrange(1, most + 1)
    return [choose.randrange(FIRST_WORD, VOCABULARY) for _ in range(count)]


def _biased(choose: Random) -> Fields:
    return {"logit_bias": {str(choose.choice(_SPOKEN)): choose.choice([-100, -5, 3.5, 40])}}


def _bad_words(choose: Random) -> Fields:
    # The bias makes the model say what it may not.
    return {"logit_bias": {"1105": 60}, "bad_words": ["computer", choose.choice(_WORDS)]}


def _ending(choose: Random) -> Fields:
    """The model wants to end at once, and may not before it has said something."""
    return {"logit_bias": {str(EOS): 100}, "min_tokens": choose.randrange(6)}


def _ignoring_the_end(choose: Random) -> Fields:
    return {"logit_bias": {str(EOS): 60}, "ignore_eos": True, "max_tokens": choose.randrange(1, 6)}


def _stopped_by_a_token(choose: Random) -> Fields:
    return {"stop_token_ids": choose.sample(_SPOKEN, 60)}


def _allowed(choose: Random) -> Fields:
    return {"allowed_token_ids": choose.sample(_SPOKEN, choose.randrange(1, 50))}


def _seeded(choose: Random) -> Fields:
    return {"temperature": 1.0, "seed": choose.randrange(2**40), "n": choose.randrange(1, 4)}


OPTIONS: Sequence[Make] = (
    _allowed,
    _bad_words,
    _biased,
    _ending,
    _ignoring_the_end,
    _seeded,
    _stopped_by_a_token,
    lambda r: {"stop": r.choice(_PIECES)},
    lambda r: {"stop": r.sample(_PIECES, 3)},
    lambda r: {"stop": r.sample(_PIECES, 2), "include_stop_str_in_output": True},
    lambda r: {"stop": r.choice(_PIECES), "min_tokens": r.randrange(1, 8)},
    lambda r: {"min_tokens": r.randrange(1, 8), **_stopped_by_a_token(r)},
    lambda r: {"presence_penalty": r.choice([-1.5, 0.5, 2])},
    lambda r: {"frequency_penalty": r.choice([-1.5, 0.5, 2])},
    lambda r: {"repetition_penalty": r.choice([0.5, 1.2, 3])},
    lambda r: {"top_k": r.choice([-1, 0, 1, 5]), "top_p": 0.5, "min_p": 0.1},
    lambda r: {"skip_special_tokens": False, **_ending(r)},
    lambda r: {"spaces_between_special_tokens": False},
    lambda r: {"return_token_ids": True},
    lambda r: {"add_special_tokens": r.choice([True, False])},
    lambda r: {"truncate_prompt_tokens": r.randrange(1, 8)},
    lambda r: {"truncate_prompt_tokens": r.randrange(1, 8), "truncation_side": "left"},
    lambda r: {"user": "somebody"},
)
"""Of both endpoints."""

CHAT_OPTIONS: Sequence[Make] = (
    *OPTIONS,
    lambda r: {"logprobs": True},
    lambda r: {"logprobs": True, "top_logprobs": r.randrange(6)},
    lambda r: {"logprobs": True, "top_logprobs": 2, "return_tokens_as_token_ids": True},
    lambda r: {"prompt_logprobs": r.randrange(3)},
    lambda r: {"max_completion_tokens": r.randrange(1, 20)},
    lambda r: {"add_generation_prompt": False},
    lambda r: {"add_generation_prompt": False, "continue_final_message": True},
)

COMPLETION_OPTIONS: Sequence[Make] = (
    *OPTIONS,
    lambda r: {"logprobs": r.randrange(6)},
    lambda r: {"logprobs": r.randrange(3), "echo": True},
    lambda r: {"echo": True},
    lambda r: {"echo": True, "max_tokens": 0},
    lambda r: {"echo": True, "max_tokens": 0, "logprobs": 2},
    lambda r: {"logprobs": 2, "return_tokens_as_token_ids": True},
    lambda r: {"prompt_logprobs": r.randrange(3)},
)

PROMPTS: Sequence[Callable[[Random], Any]] = (
    text,
    token_ids,
    lambda r: [text(r) for _ in range(r.randrange(1, 4))],
    lambda r: [token_ids(r) for _ in range(r.randrange(1, 4))],
)


def messages(choose: Random) -> list[Fields]:
    """A conversation that ends with the user's word, or an assistant's that is to be continued."""
    before = choose.sample(
        [
            {"role": "system", "content": text(choose)},
            {"role": "user", "content": text(choose)},
            {"role": "assistant", "content": text(choose)},
        ],
        choose.randrange(3),
    )
    parts = [{"type": "text", "text": text(choose)} for _ in range(choose.randrange(1, 3))]
    last = choose.choice([text(choose), parts])
    return [*before, {"role": "user", "content": last}]


def completion(choose: Random) -> Fields:
    """A completion's body, but for options."""
    prompt = choose.choice(PROMPTS)(choose)
    return {**_greedy(choose), "prompt": prompt, "max_tokens": choose.randrange(1, 20)}


def chat(choose: Random) -> Fields:
    """A chat's body, but for options."""
    return {**_greedy(choose), "messages": messages(choose), "max_tokens": choose.randrange(1, 20)}


def _greedy(choose: Random) -> Fields:
    body: Fields = {"model": models.SMALL, "temperature": 0}
    if choose.random() < 0.4:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def _with_options(choose: Random, body: Fields, options: Sequence[Make]) -> Fields:
    """The body with some of the options beside what it has; those that do not fit are left out."""
    for option in choose.sample(options, choose.randrange(4)):
        body = {**option(choose), **body}
    if body.get("n", 1) > 1 and body["temperature"] == 0:
        del body["n"]  # vLLM has no use for the same choice twice
    if "prompt_logprobs" in body:  # not in a stream
        body = {k: v for k, v in body.items() if k not in ("stream", "stream_options")}
    if "max_completion_tokens" in body:
        body["max_tokens"] = body["max_completion_tokens"]
    if not body.get("echo"):
        body["max_tokens"] = max(1, body["max_tokens"])
    if body["max_tokens"] < body.get("min_tokens", 0):
        body["max_tokens"] += body["min_tokens"]
        body.pop("max_completion_tokens", None)
    return body


def free(seed: int, count: int) -> list[Case]:
    """Generation without a form; every option occurs."""
    choose = Random(seed)
    made = []
    for number in range(count):
        path, base, options = (
            (CHAT, chat, CHAT_OPTIONS)
            if number % 2
            else (COMPLETIONS, completion, COMPLETION_OPTIONS)
        )
        certain = options[number // 2 % len(options)](choose)
        body = _with_options(choose, {**base(choose), **certain}, options)
        made.append(case(f"free-{number}", path, body, _difference(body)))
    return made


def _difference(body: Fields) -> str | None:
    """Which deliberate difference a request shows, if it shows one."""
    if body.get("echo"):
        if body.get("return_token_ids"):
            return "echo with token ids"
        if "truncate_prompt_tokens" in body:
            return "echo of a cut prompt"
        if body["max_tokens"] == 0:
            return "echo alone"
    if "return_tokens_as_token_ids" in body and "prompt" in body:
        return "offsets of token ids"
    texts = isinstance(body.get("prompt"), str) or isinstance(body.get("prompt", [7])[0], str)
    if "truncate_prompt_tokens" in body and "truncation_side" not in body and texts:
        return "where a text is cut"
    return None
