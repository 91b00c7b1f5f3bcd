"""A site whose model pools, and a tokenizer in BERT's manner: every character is a token."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from deployments.messages import Sequence
from deployments.tokenizing import Tokenizing
from tests.unit.http_fixtures import MODEL, Site, site

EMBEDDINGS, SCORE, RERANK, CLASSIFY = "/v1/embeddings", "/v1/score", "/v1/rerank", "/v1/classify"
CLS, SEP = 1, 2
CONTEXT = 32

EMBED: dict[str, Any] = {
    "task": "embed",
    "embedding_size": 4,
    "is_matryoshka": False,
    "matryoshka_dimensions": None,
    "scores": "bi-encoder",
    "labels": [],
    "separates_pairs": True,
    "lowercases": False,
}
"""What an engine says of itself that makes embeddings, as deployments.vllm_facts has it."""
CROSS_ENCODER = {**EMBED, "task": "classify", "scores": "cross-encoder", "labels": ["LABEL_0"]}
CLASSIFIER = {**CROSS_ENCODER, "scores": None, "labels": ["no", "maybe", "yes"]}


def ids(text: str) -> list[int]:
    """The tokens of `text`."""
    return [ord(char) for char in text]


def whole(*texts: str) -> list[int]:
    """The input that is made of a text, or of a pair of them."""
    return [CLS, *(token for text in texts for token in [*ids(text), SEP])]


def vector(sequence: Sequence) -> bytes:
    """Made of the input's sum and length, so that every input has its own."""
    tokens = sequence.prompt_token_ids
    return struct.pack("<4f", sum(tokens) / 7, len(tokens), 0.1, -1)


def tokenizer() -> PreTrainedTokenizerFast:
    """BERT's manner: [CLS] and [SEP], and the two texts of a pair told apart. Of line breaks it
    makes nothing."""
    vocabulary = {"[UNK]": 0, "[CLS]": CLS, "[SEP]": SEP} | {chr(i): i for i in range(32, 127)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.Replace("\n", "")
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


@cache
def tokenizing() -> Tokenizing:
    """The same as the router has it."""
    with TemporaryDirectory() as directory:
        tokenizer().save_pretrained(directory)
        return Tokenizing(str(Path(directory)))


@asynccontextmanager
async def pooling_site(pooling: dict[str, Any] = EMBED, **options: Any) -> AsyncIterator[Site]:
    """A site of engines that pool; each makes `vector` of an input unless told otherwise."""
    options = {
        "max_model_len": CONTEXT,
        "max_sequences": 5000,
        "tokenizer": tokenizing(),
        **options,
    }
    async with site(pooling=pooling, supported_tasks=[pooling["task"]], **options) as s:
        for serving in s.servings:
            serving.engine.vector = vector
        yield s


def body(**fields: Any) -> dict[str, Any]:
    """A body for the site's model."""
    return {"model": MODEL, **fields}
