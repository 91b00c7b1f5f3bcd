"""The embedded models, for which nothing is downloaded.

`sluice-chat` is trained and comes along, in `data/`; `bench.training` makes it. The others are made
by this module itself at first use, as loads of a given size: each is a Llama with random weights
and a tokenizer trained on `data/corpus.txt`, in the layout of a Hugging Face model directory. Their
weights are arranged so that the model speaks whole English words in no sensible order: see
`_weights`.
"""

import fcntl
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from deployments.llama_layout import Shape, configs

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

# To be raised when this code writes other files than before for the same constants.
_FORMAT = 1
_SEED = 20240229
_DATA = Path(__file__).parent / "data"
_CORPUS = _DATA / "corpus.txt"

_BOS, _EOS, _END = "<|bos|>", "<|eos|>", "<|end|>"
_SPECIAL_TOKENS = (_BOS, _EOS, "<|system|>", "<|user|>", "<|assistant|>", _END)  # ids from 0 on

_CHAT_TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
    {%- if message['role'] not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('unknown role: ' ~ message['role']) }}
    {%- endif %}
    {{- '<|' ~ message['role'] ~ '|>' ~ message['content'] ~ '<|end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>' }}
{%- endif %}"""

# The standard deviation of the logits of spoken tokens: a clear first choice for greedy decoding,
# and some twenty likely ones for sampling.
_LOGIT_SPREAD = 3.0
# Gives every other token a logit below -10: out of reach for sampling, in reach of a logit bias.
_MUTE = -48.0
# Looks at few earlier tokens at a time; an even look at all of them lets greedy decoding run in
# circles.
_ATTENTION_SHARPNESS = 2.0


EMBEDDED: Mapping[str, Shape] = {
    "sluice-small": Shape(
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
    ),
    "sluice-90m": Shape(
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=12,
        num_attention_heads=12,
        num_key_value_heads=12,
    ),
}


TRAINED: Mapping[str, Path] = {"sluice-chat": _DATA / "sluice-chat"}
"""Those that are there from the start, and where."""

NAMES = (*TRAINED, *EMBEDDED)

PREFIX = "embedded:"
"""Before the name of an embedded model, where a model's source is expected."""


def locate(source: str) -> str:
    """`source` itself, a directory or hub id, or the directory of the embedded model it names."""
    name = source.removeprefix(PREFIX)
    return source if name == source else str(ensure(name))


def ensure(name: str, *, cache_dir: Path | None = None) -> Path:
    """Return the directory of the embedded model `name`, making it first when it is not there.

    The path is absolute. Any number of processes may call this at once: one makes the model and the
    others wait for it. The directory appears under its name only when it is complete.
    """
    if name in TRAINED:
        return TRAINED[name].absolute()
    shape = EMBEDDED.get(name)
    if shape is None:
        raise ValueError(f"no embedded model {name!r}; there are {', '.join(NAMES)}")
    models = (cache_dir or _default_cache_dir()).absolute() / "models"
    directory = models / f"{name}-{_digest(shape)}"
    if directory.is_dir():
        return directory
    models.mkdir(parents=True, exist_ok=True)
    with (models / f"{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed or this process dies
        if not directory.is_dir():
            partial = models / f"{directory.name}.partial"
            if partial.exists():  # its maker died: a live one would hold the lock
                shutil.rmtree(partial)
            partial.mkdir()
            _make(partial, shape)
            partial.rename(directory)
    return directory


def _default_cache_dir() -> Path:
    if own := os.environ.get("SLUICE_CACHE_DIR"):
        return Path(own).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "sluice"
    return Path.home() / ".cache" / "sluice"


def _digest(shape: Shape) -> str:
    """Stands for everything that determines the content of the directory."""
    scales = [_LOGIT_SPREAD, _MUTE, _ATTENTION_SHARPNESS]
    parts = [_FORMAT, _SEED, asdict(shape), scales, _SPECIAL_TOKENS, _CHAT_TEMPLATE, _corpus()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def _corpus() -> str:
    """The training text as one line, so that its line breaks do not count."""
    return " ".join(_CORPUS.read_text(encoding="utf-8").split())


def _make(directory: Path, shape: Shape) -> None:
    from safetensors.torch import save

    tokenizer = _train_tokenizer(shape.vocab_size)
    tokenizer.save(str(directory / "tokenizer.json"))
    weights = _weights(shape, _spoken(tokenizer))
    # Not `save_file`, which keeps the file from every other user whatever the umask says.
    (directory / "model.safetensors").write_bytes(save(weights, metadata={"format": "pt"}))
    for file, content in configs(shape, _SPECIAL_TOKENS, _CHAT_TEMPLATE).items():
        (directory / file).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for path in directory.iterdir():
        with path.open("rb") as written:
            os.fsync(written)  # else a power failure could leave the final name on empty files


def _train_tokenizer(vocab_size: int) -> "Tokenizer":
    """A byte-level BPE tokenizer: any text goes through it and comes back unchanged."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(_SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_corpus()], trainer)
    if tokenizer.get_vocab_size() != vocab_size:
        raise RuntimeError(f"{_CORPUS} is too short for {vocab_size} tokens")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{_BOS} $A", special_tokens=[(_BOS, tokenizer.token_to_id(_BOS))]
    )
    return tokenizer


def _spoken(tokenizer: "Tokenizer") -> list[int]:
    """The tokens that the model says: whole words of the corpus, and punctuation marks."""
    words = set(re.findall(r" [a-z]+|[,.?!]", _corpus()))
    return [i for i in range(tokenizer.get_vocab_size()) if tokenizer.decode([i]) in words]


def _weights(shape: Shape, spoken: list[int]) -> dict[str, "Tensor"]:
    """Random weights under which activations keep their size and only `spoken` tokens come up.

    A Llama has no output bias, so hidden channel 0 is made to be one: each embedding sets it to 1,
    no layer writes to it, and column 0 of the output matrix pushes the other tokens down.
    """
    import torch

    generator = torch.Generator().manual_seed(_SEED)

    def draw(name: str, size: tuple[int, ...]) -> "Tensor":
        if "norm" in name:
            return torch.ones(size, dtype=torch.bfloat16, device="cpu")
        # Uniform and not normal: its arithmetic is exact, so that every CPU draws the same bits.
        weight = torch.empty(size, dtype=torch.float32, device="cpu").uniform_(generator=generator)
        std = 1.0 if "embed" in name else size[-1] ** -0.5
        gain = _ATTENTION_SHARPNESS if "q_proj" in name else 1.0
        return weight.sub_(0.5).mul_(gain * std * math.sqrt(12.0)).to(torch.bfloat16)

    weights = {name: draw(name, size) for name, size in shape.tensors().items()}
    weights["model.embed_tokens.weight"][:, 0] = 1.0
    for name, weight in weights.items():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            weight[0] = 0.0
    loudness = torch.zeros(shape.vocab_size, 1, dtype=torch.bfloat16, device="cpu")
    loudness[spoken] = _LOGIT_SPREAD
    output = weights["lm_head.weight"].mul_(loudness)
    output[:, :1] = torch.where(loudness > 0, 0.0, _MUTE)
    return weights
