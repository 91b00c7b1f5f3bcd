"""The options that come to Locust's own, and what they mean together.

A value stays text or a number on the way: Locust sends them to its workers.
"""

import argparse
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.client import Load
from bench.locust import arrivals, mixes, slo
from bench.locust.shapes import CONSTANT, SHAPES
from bench.plan import Lengths

KEY, METRICS_KEY = "OPENAI_API_KEY", "METRICS_API_KEY"
"""Where the keys are: the users', and one that may read the server's metrics, if it is another."""


class WrongOption(Exception):
    """The message names the option."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the users are like."""

    model: str = ""
    embedding_model: str = ""
    context: int | None = None
    """Tokens that prompt and answer may have together, where the server says it."""
    mix: Mapping[str, float]
    lengths: Lengths
    long: int
    batch: int
    turns: int
    think: float
    ignore_eos: bool
    vocab: int
    timeout: float
    seed: int
    rate: float | None
    shape: str
    low: float
    trace: Path | None
    seconds: float | None
    """How long the load lasts; None when nobody has said."""

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Settings":
        """As `settle` has left them."""
        given = {name: getattr(options, name) for name in cls.__dataclass_fields__}
        given |= {"mix": mixes.parse(options.mix), "lengths": Lengths.parse(options.lengths)}
        return cls(**given | {"trace": Path(options.trace) if options.trace else None})

    @property
    def is_open(self) -> bool:
        """Whether requests arrive by themselves, instead of users who wait for answers."""
        return self.rate is not None or self.trace is not None


def add(parser: argparse.ArgumentParser) -> None:
    """To Locust's own parser."""
    add = parser.add_argument_group("Sluice").add_argument
    add("--model", default="", help="that generates; default: the first of /v1/models that does")
    add("--embedding-model", default="", help="default: the first of /v1/models that embeds")
    add("--mix", type=_checked(mixes.parse), help=_MIX_HELP)
    add("--rate", type=_above(0.0), metavar="N", help="open loop: arrivals a second, at the peak")
    add("--trace", type=_checked(_trace), metavar="FILE", help="open loop: arrivals from a CSV")
    add("--shape", choices=SHAPES, default=CONSTANT, help="of users or arrivals over --run-time")
    add("--low", type=_share, default=0.2, help="the lowest a shape goes, as a share of the peak")
    add("--think", type=_above(-1e-9), default=2.0, metavar="S", help="between requests, mean")
    add("--lengths", type=_checked(Lengths.parse), default="128x64", help="tokens in x tokens out")
    add("--long", type=_count, default=1024, metavar="N", help="tokens of a LongContext prompt")
    add("--batch", type=_count, default=16, metavar="N", help="prompts of a Batch request")
    add("--turns", type=_count, default=6, metavar="N", help="of a Chat session")
    add("--ignore-eos", action="store_true", help="whole length always (vLLM, Sluice)")
    add("--vocab", type=_count, default=Load.vocab, help="token ids of prompts are below this")
    add("--timeout", type=_above(0.0), default=120.0, metavar="S", help="of silence: a failure")
    add("--seed", type=int, help="of prompts and arrivals; default: another one each time")
    add("--slo", type=_checked(_objectives), metavar="FILE", help="sets the exit code")
    add(
        "--server-metrics", metavar="URL", help="what the server itself has measured, beside it all"
    )


def settle(options: argparse.Namespace, environ: Mapping[str, str]) -> None:
    """Check the options against each other and fill in what follows. Raises WrongOption."""
    options.host = address(options.host or environ.get("OPENAI_BASE_URL", ""))
    key_of(environ)
    if options.server_metrics:
        key_of(environ, METRICS_KEY)
        _check_address("--server-metrics", options.server_metrics)
    _check_loop(options)
    options.mix = _mix(options)
    if options.seed is None:
        options.seed = random.randrange(2**32)
    # Under another name: Locust does not send its workers its own options.
    options.seconds = options.run_time
    options.context = None
    if options.trace:
        options.seconds = arrivals.read(Path(options.trace))[-1].at


def address(url: str) -> str:
    """The server's, with or without `/v1`. Raises WrongOption."""
    if not url:
        raise WrongOption("--host: where is the server? (or OPENAI_BASE_URL)")
    _check_address("--host", url)
    return url.rstrip("/").removesuffix("/v1")


def key_of(environ: Mapping[str, str], name: str = KEY) -> str | None:
    """The key, which no option takes: a command line can be seen by others."""
    key = environ.get(name) or None
    if key and not (key.isascii() and key.isprintable()):
        raise WrongOption(f"{name}: has characters that no header may have")
    return key


def _check_address(option: str, url: str) -> None:
    parts = urlsplit(url)
    if parts.username is not None:
        raise WrongOption(f"{option}: no password in the address; a key goes into {KEY}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        like = "https://llm.example.com/" + ("v1" if option == "--host" else "metrics")
        raise WrongOption(f"{option}: {url} is not like {like}")


def _check_loop(options: argparse.Namespace) -> None:
    is_open = options.rate is not None or options.trace is not None
    if options.trace and options.rate is not None:
        raise WrongOption("--rate: --trace says when requests arrive")
    if options.trace and options.shape != CONSTANT:
        raise WrongOption("--shape: --trace has its own")
    if options.trace and options.run_time:
        raise WrongOption("--run-time: --trace lasts as long as it does")
    if is_open and options.num_users:
        raise WrongOption("--users: an open loop has no users; --rate or --trace says what arrives")
    if is_open and options.user_classes:
        raise WrongOption(f"{options.user_classes[0]}: an open loop takes its kinds from --mix")
    if (options.rate is not None or options.shape != CONSTANT) and not options.run_time:
        raise WrongOption("--run-time: is needed with --rate and --shape")
    if not is_open and options.shape != CONSTANT and not options.num_users:
        raise WrongOption("--users: the peak of --shape is needed")


def _mix(options: argparse.Namespace) -> str:
    """Users that are named take the place of a mix."""
    if not options.user_classes:
        return options.mix or mixes.EVERYDAY
    if options.mix:
        raise WrongOption(f"--mix: {', '.join(options.user_classes)} are named besides")
    named = {name.lower(): 1.0 for name in options.user_classes}
    if others := set(named).difference(mixes.KINDS):
        raise WrongOption(f"{', '.join(others)}: this is no kind of user; see --rate and --trace")
    return mixes.text(named)


_MIX_HELP = f"default: {mixes.EVERYDAY}; of {', '.join(mixes.MIXES)}, or like chat=4,completion=2"


def _checked(parse: Callable[[str], Any]) -> Callable[[str], str]:
    def checked(text: str) -> str:
        try:
            parse(text)
        except (ValueError, OSError) as exc:
            raise argparse.ArgumentTypeError(str(exc)) from exc
        return text

    return checked


def _trace(path: str) -> Any:
    return arrivals.read(Path(path))


def _objectives(path: str) -> Any:
    return slo.read(Path(path))


def _above(least: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not least < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is too small or too large")
        return value

    return number


def _share(text: str) -> float:
    if not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return float(text)


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return int(text)
