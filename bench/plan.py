"""What a comparison measures: which stacks, under which loads, how often and in which order."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from bench.client import Load

STREAM, WHOLE = "stream", "whole"
EXPECTED_TOK_S: Mapping[str, float] = {"small": 4500, "90m": 1000}
"""Roughly what a model gives on two cores: it sizes the loads, and no figure depends on it."""

_EXPECTED_OF_OTHERS = 1000
_SHAPES = {"short": (64, 64), "long": (512, 256)}
_HEADLINE_CONCURRENCY = 64
_ALONE_SHARE = 0.1  # of the expected throughput, for one request at a time
_LEAST_ALONE_TOKENS = 512
_EVERY_STACK = ("vllm", "rayllm", "rayllm-direct", "sluice", "alone")


@dataclass(frozen=True)
class Lengths:
    """Tokens of each prompt and each answer."""

    prompt: int
    answer: int

    @classmethod
    def parse(cls, text: str) -> "Lengths":
        """`short`, `long` or `64x64`. Raises ValueError."""
        if text in _SHAPES:
            return cls(*_SHAPES[text])
        prompt, answer = map(int, text.split("x"))
        if min(prompt, answer) < 1:
            raise ValueError(f"{text} is not at least one token each")
        return cls(prompt, answer)

    def __str__(self) -> str:
        names = {shape: name for name, shape in _SHAPES.items()}
        return names.get((self.prompt, self.answer), f"{self.prompt}x{self.answer}")


@dataclass(frozen=True)
class Cell:
    """One point of the matrix."""

    model: str
    lengths: Lengths
    concurrency: int
    stream: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The first stack is the one that the others are compared to."""

    label: str
    stacks: tuple[str, ...]
    models: tuple[str, ...]
    lengths: tuple[Lengths, ...]
    concurrency: tuple[int, ...]
    modes: tuple[str, ...]
    rounds: int
    seed: int
    vocab: int
    seconds: float
    """About how long each load is to take."""
    expected_tok_s: float | None
    num_requests: int | None
    """Of every load; None to follow from `seconds`."""
    warm_up_requests: int
    engine_args: Mapping[str, Any]
    environment: Mapping[str, str]
    start_timeout_s: float
    yardstick: bool

    @property
    def simulated(self) -> Mapping[str, Any] | None:
        """What computes in place of this machine; None when it computes itself."""
        config: Mapping[str, Any] = self.engine_args.get("additional_config", {})
        return config.get("simulated")

    @property
    def simulated_title(self) -> str:
        """Its settings in words."""
        return ", ".join(map(str, (self.simulated or {}).values()))

    def model_title(self, model: str) -> str:
        """The model that computes: a simulated one has only the tokenizer of `model`."""
        return f"simulated {self.simulated_title}" if self.simulated is not None else model

    def cells(self) -> list[Cell]:
        """All of them, the loads on one model one after the other."""
        matrix = product(self.models, self.lengths, self.concurrency, self.modes)
        return [Cell(model, shape, users, mode == STREAM) for model, shape, users, mode in matrix]

    def order(self, number: int) -> tuple[str, ...]:
        """The stacks of one round; each comes first in turn."""
        first = number % len(self.stacks)
        return self.stacks[first:] + self.stacks[:first]

    def is_headline(self, cell: Cell) -> bool:
        """Whether the cell is one whose processes are shown, and that the yardstick measures."""
        usual = _HEADLINE_CONCURRENCY in self.concurrency
        return cell.stream and cell.concurrency == (
            _HEADLINE_CONCURRENCY if usual else max(self.concurrency)
        )

    def load(self, cell: Cell, number: int) -> Load:
        """What every stack is sent, each at its own address. No prompt of it is in another cell or
        round, so no cache has it."""
        return Load(
            url="",
            model=cell.model,
            concurrency=cell.concurrency,
            num_requests=self.requests(cell),
            input_len=cell.lengths.prompt,
            output_len=cell.lengths.answer,
            stream=cell.stream,
            vocab=self.vocab,
            seed=self.seed + number * len(self.cells()) + self.cells().index(cell),
        )

    def warm_up(self, model: str, number: int) -> Load:
        """What a stack is sent before it is measured, in shape like the model's largest load."""
        mine = [cell for cell in self.cells() if cell.model == model]
        largest = max(mine, key=lambda cell: cell.concurrency)
        load = self.load(largest, number)
        beyond = len(self.cells()) * self.rounds  # every seed of a measured load
        return replace(
            load,
            num_requests=self.warm_up_requests,
            concurrency=min(largest.concurrency, self.warm_up_requests),
            seed=load.seed + beyond,
        )

    def requests(self, cell: Cell) -> int:
        """As many as take about `seconds`, and at least one for each user."""
        if self.num_requests is not None:
            return self.num_requests
        of_model = EXPECTED_TOK_S.get(cell.model, _EXPECTED_OF_OTHERS)
        expected = self.expected_tok_s or of_model
        if cell.concurrency == 1:
            wanted = self.seconds * expected * _ALONE_SHARE / cell.lengths.answer
            return max(round(wanted), _LEAST_ALONE_TOKENS // cell.lengths.answer, 2)
        each = self.seconds * expected / cell.lengths.answer / cell.concurrency
        return max(round(each), 1) * cell.concurrency


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {
        "stacks": ("vllm", "sluice"),
        "model": ("small",),
        "lengths": (Lengths.parse("short"),),
        "concurrency": (64,),
        "mode": (STREAM,),
    },
    "bars": {
        "stacks": _EVERY_STACK,
        "model": ("small",),
        "lengths": (Lengths.parse("short"),),
        "concurrency": (1, 64),
        "mode": (STREAM,),
    },
    "full": {
        "stacks": _EVERY_STACK,
        "model": ("small", "90m"),
        "lengths": (Lengths.parse("short"), Lengths.parse("long")),
        "concurrency": (1, 16, 64, 256),
        "mode": (STREAM, WHOLE),
        # GiB: as many long sequences of the 90M model as vLLM runs at once.
        "env": ["VLLM_CPU_KVCACHE_SPACE=4"],
    },
}
"""By name, what the options of those names are when they are not given."""
