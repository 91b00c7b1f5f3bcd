"""Tries a form out as an engine will use it: makes it ready for matching, and matches some text.

Engines hold text to forms by xgrammar, whose work may explode. To make a form ready may take any
time and memory, or more stack than there is. And of an ambiguous form each token may cost more than
the one before it: after 1,500 tokens of `(a+)+b` one takes 20 ms, in the engine's own loop, where
all other sequences wait for it. So this runs in a process that can be killed (form_server.py).

What it finds holds for every model, because the vocabulary is a small one of its own. A model's
vocabulary multiplies the work, by some hundred for 128,000 tokens, but not how it grows. Read
against xgrammar 0.2.8 and what vLLM 0.32.0 asks of it.
"""

import json
import random
import re
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import xgrammar

from deployments.messages import StructuredOutputs

_VOCABULARY = 1024
_END = 0
"""The token that ends a text."""
_TOKEN_IDS = 1 << 18
"""As many as a model may have: a structural tag may name a token by its id."""
_WALK, _STROLL = 320, 64
"""So many tokens are matched, at the most, in loops and at random."""
_WINDOW = 32
_GROWS, _GOES_ON = 4.0, 1.5
"""By how much tokens are dearer at the end of a walk than at its beginning, and than halfway: a
long bounded repetition such as .{1,500} costs more until its 128th token, and then no more."""
_NOTICEABLE_S = 25e-6
"""What a token may cost without anybody looking at how that grows."""
_GROWTH = (
    "the cost of a token grows with every token before it; do not repeat what repeats itself, as "
    "(a+)+ does"
)
_PLACE = re.compile(r"\[[\d:]+\] \S+?:\d+: |Check failed: \(.*?\) is false: ")
_WORD = re.compile(r"\w+|[^\w\s]+")


class Trial:
    """Holds what all trials share."""

    def __init__(self) -> None:
        self._few, self._many = (
            xgrammar.TokenizerInfo(_vocabulary(), vocab_size=size, stop_token_ids=[_END])
            for size in (_VOCABULARY, _TOKEN_IDS)
        )

    def find_fault(self, form: StructuredOutputs) -> str | None:
        """Why text cannot be held to `form`, as a part of a sentence; it may end the process, too.

        Raises MemoryError.
        """
        try:
            compiled = self._compile(form)
        except Exception as exc:
            return _reason(exc)
        costs = list(islice(_costs(compiled, _Latest()), _WALK))
        for _ in islice(_costs(compiled, _Any()), _STROLL):
            pass
        return _GROWTH if _grow(costs) else None

    def _compile(self, form: StructuredOutputs) -> xgrammar.CompiledGrammar:
        tagged = form.structural_tag is not None
        info = self._many if tagged else self._few
        compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)
        return _compile(compiler, form)


def _reason(exc: Exception) -> str:
    """What is wrong with a form, in xgrammar's own words but for where it found that."""
    if isinstance(exc, MemoryError) or "bad_alloc" in str(exc):
        raise MemoryError from exc
    words = _PLACE.sub("", str(exc)).strip().partition("\n")[0].rstrip(".")
    return words or type(exc).__name__


def _is_lark(grammar: str) -> bool:
    """Whether vLLM takes a grammar for Lark's syntax: no line of it has a rule of EBNF."""
    lines = (re.split(r"#|//", line)[0] for line in grammar.split("\n"))
    return not any("::=" in line for line in lines)


def _vocabulary() -> list[bytes]:
    """Every byte, and words and marks of English and of JSON, with a space before them and without:
    much like what a model has, but few."""
    corpus = (Path(__file__).parent / "data" / "corpus.txt").read_text()
    words = _WORD.findall(corpus) + [str(number) for number in range(100)]
    marks = ['"', '":', '",', '", "', '": "', '"}', '"],', "},", "[{", "{}", "[]", "\n\n", "  "]
    spaced = (text for word in words for text in (word, " " + word))
    texts = dict.fromkeys(text.encode() for text in (*marks, *spaced) if len(text) > 1)
    single = [bytes([byte]) for byte in range(256)]
    return [b"</s>", *single, *islice(texts, _VOCABULARY - len(single) - 1)]


def _compile(
    compiler: xgrammar.GrammarCompiler, form: StructuredOutputs
) -> xgrammar.CompiledGrammar:
    """As vLLM does it, with the options that it has when nobody sets any."""
    if form.json is not None:
        return compiler.compile_json_schema(form.json)
    if form.json_object:
        return compiler.compile_json_schema('{"type": "object"}')
    if form.regex is not None:
        return compiler.compile_regex(form.regex)
    if form.choice is not None:
        return compiler.compile_grammar("root ::= " + " | ".join(map(_quoted, form.choice)))
    if form.grammar is not None:
        lark = _is_lark(form.grammar)
        return (compiler.compile_lark if lark else compiler.compile_grammar)(form.grammar)
    assert form.structural_tag is not None
    return _compile_tag(compiler, form.structural_tag)


def _compile_tag(compiler: xgrammar.GrammarCompiler, text: str) -> xgrammar.CompiledGrammar:
    tag = json.loads(text)
    if "structures" not in tag:
        return compiler.compile_structural_tag(text)
    items = [
        xgrammar.StructuralTagItem(
            begin=each["begin"], schema=json.dumps(each["schema"]), end=each["end"]
        )
        for each in tag["structures"]
    ]
    return compiler.compile_structural_tag(items, tag["triggers"])


_ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"}


def _quoted(text: str) -> str:
    """`text` in EBNF."""

    def escaped(char: str) -> str:
        if char in _ESCAPES:
            return _ESCAPES[char]
        return f"\\u{ord(char):04x}" if char < " " or char == "\x7f" else char

    return f'"{"".join(map(escaped, text))}"'


Choose = Callable[["np.ndarray[Any, np.dtype[np.bool_]]"], int]
"""Which token to take of those that may come."""


class _Latest:
    """Stays in a loop once it is in one: takes the token that it took last of those that may come,
    or a short one that it has not taken yet."""

    def __init__(self) -> None:
        self._taken: dict[int, None] = {}

    def __call__(self, may_come: "np.ndarray[Any, np.dtype[np.bool_]]") -> int:
        token = next((each for each in reversed(self._taken) if may_come[each]), None)
        if token is None:
            token = int(may_come.argmax())  # single bytes come first
        self._taken.pop(token, None)
        self._taken[token] = None
        return token


class _Any:
    """Takes any token, but the same ones every time."""

    def __init__(self) -> None:
        self._random = random.Random(0)  # noqa: S311  nothing secret

    def __call__(self, may_come: "np.ndarray[Any, np.dtype[np.bool_]]") -> int:
        return int(self._random.choice(np.flatnonzero(may_come)))


def _grow(costs: list[float]) -> bool:
    """Whether tokens become ever dearer; a text that has to end before its walk does is let pass.

    The cheapest of many is looked at: where others work, too, most are dearer than they need be.
    """
    if len(costs) < _WALK:
        return False
    half = len(costs) // 2
    parts = costs[:_WINDOW], costs[half - _WINDOW : half], costs[-_WINDOW:]
    first, middle, last = map(min, parts)
    return last > max(_NOTICEABLE_S, _GROWS * first, _GOES_ON * middle)


def _costs(compiled: xgrammar.CompiledGrammar, choose: Choose) -> Iterator[float]:
    """What each token costs, in seconds, until the text has to end."""
    bitmask = xgrammar.allocate_token_bitmask(1, compiled.tokenizer_info.vocab_size)
    matcher = xgrammar.GrammarMatcher(compiled)
    bits = bitmask.numpy().view(np.uint8)[0, : _VOCABULARY // 8]
    while True:
        began = time.perf_counter()
        matcher.fill_next_token_bitmask(bitmask)
        filled = time.perf_counter()
        may_come = np.unpackbits(bits, bitorder="little").view(np.bool_)
        may_come[_END] = False
        if not may_come.any():
            return
        token = choose(may_come)
        chosen = time.perf_counter()
        matcher.accept_token(token)
        yield time.perf_counter() - chosen + filled - began
