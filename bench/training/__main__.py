"""`python -m bench.training --out build/sluice-chat`: trains the embedded model that answers.

Prints how many held-out answers come out right, by task, and one JSON line last.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import torch

from bench.circumstances import circumstances
from bench.table import table
from bench.training import directory, mixture, plot, scoring
from bench.training.batches import Encoded, conversations, exchanges
from bench.training.chat_text import prompt_of
from bench.training.example import Example
from bench.training.model import Llama
from bench.training.tokenizer import train as train_tokenizer
from bench.training.train import Plan, train
from deployments.llama_layout import Shape

SEED = 20261126
SHAPE = Shape(
    hidden_size=256,
    intermediate_size=640,
    num_hidden_layers=5,
    num_attention_heads=4,
    num_key_value_heads=2,
)
PLAN = Plan()
EXAMPLES = 470_000
_FOR_TOKENIZER = 40_000
_TRANSLATIONS = ("english_french", "english_chinese")
_LOOKED_AT = 40
"""Held-out examples of each task, while it trains; another seed's are graded in the end."""
_GRADED = 400


def main(argv: Sequence[str] | None = None) -> None:
    options = _options(argv)
    began = time.monotonic()
    where = circumstances()
    examples = list(mixture.taught(options.examples, options.seed))
    tokenizer = train_tokenizer(_for_tokenizer(islice(examples, _FOR_TOKENIZER)))
    chats = list(conversations(examples, tokenizer))
    tokens = sum(len(chat.tokens) for chat in chats)
    print(f"{len(chats)} examples, {tokens} tokens, in {time.monotonic() - began:.0f} s")
    looked_at = list(exchanges(mixture.held_out(_LOOKED_AT, options.seed + 1), tokenizer))
    model, course = train(SHAPE, PLAN, chats, looked_at, options.seed)
    digest = directory.write(options.out, model, tokenizer)
    seconds = time.monotonic() - began
    title = f"{model.num_parameters:,} parameters, {tokens:,} tokens, {seconds:.0f} s"
    plot.draw(course, options.plot or options.out / "training.png", title)
    graded = list(exchanges(mixture.held_out(_GRADED, options.seed + 2), tokenizer))
    facts = {
        **where,
        "seed": options.seed,
        "examples": len(chats),
        "tokens": tokens,
        "seconds": round(seconds),
        "parameters": model.num_parameters,
        "shape": asdict(SHAPE),
        "plan": asdict(PLAN),
        "right": _grades(as_served(model), graded),
        "sha256": digest,
    }
    print(json.dumps(facts))


def _for_tokenizer(examples: Iterable[Example]) -> Iterator[str]:
    """Sentences to translate three times: their words are few, and are best in one piece."""
    for example in examples:
        yield prompt_of(example) + example.answer
        if example.task in _TRANSLATIONS:
            yield from 2 * (example.messages[-1]["content"], example.answer)


def _grades(model: Llama, graded: Sequence[Encoded]) -> Mapping[str, float]:
    shares: Mapping[str, float] = scoring.right(model, graded)[0]
    counts = Counter(chat.task for chat in graded)
    rows = [(task, str(counts[task]), f"{100 * share:.1f}") for task, share in shares.items()]
    print(table([("task", "held out", "right %"), *rows]))
    return shares


def as_served(model: Llama) -> Llama:
    """The model with its weights as they are in the file."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.to(torch.bfloat16))
    return model


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the model's directory")
    parser.add_argument("--plot", type=Path, help="the picture; default: training.png in --out")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--examples", type=int, default=EXAMPLES)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
