"""What a router must know of an engine before it sends to it.

With the other modules named vllm_*, all that touches vLLM; written against 0.32.0. Which task a
model does, and how it scores pairs, is decided as vLLM's own server decides it
(`ModelConfig.get_pooling_task`, entrypoints/pooling/utils.py).
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from vllm.config import ModelConfig, VllmConfig
from vllm.model_executor.model_loader import get_model_cls
from vllm.model_executor.models.interfaces import supports_score_template
from vllm.tasks import PoolingTask


class PoolingFacts(msgspec.Struct, frozen=True):
    """Of an engine that pools what it takes in."""

    task: str
    """`embed`, `classify`, or another one of vLLM's."""
    embedding_size: int
    is_matryoshka: bool
    """Whether embeddings may be cut to fewer dimensions."""
    matryoshka_dimensions: list[int] | None
    """To which; None is any."""
    scores: str | None
    """How it scores a pair of texts: as `bi-encoder`, as `cross-encoder`, or not at all."""
    labels: list[str]
    """The names of a classifier's classes."""
    separates_pairs: bool
    """Whether the two texts of a pair are tokenized as two, or as one."""
    lowercases: bool
    """Whether texts are made lower-case first."""


class EngineFacts(msgspec.Struct, frozen=True):
    """Of any engine."""

    max_model_len: int
    block_size: int
    max_num_seqs: int
    max_num_batched_tokens: int
    """How many tokens one step computes at the most."""
    kv_cache_tokens: int
    default_sampling: dict[str, Any]
    """Sampling defaults of the model itself, from its generation_config.json."""
    supported_tasks: list[str]
    """What it does, in vLLM's words."""
    pooling: PoolingFacts | None
    """None of one that generates."""


def engine_facts(config: VllmConfig, supported_tasks: Sequence[str]) -> EngineFacts:
    """The facts of a running engine, which has told what tasks it supports."""
    model, scheduler, cache = config.model_config, config.scheduler_config, config.cache_config
    # One block is nobody's, and all there is for a model that caches nothing.
    blocks = max(0, (cache.num_gpu_blocks or 0) - 1)
    return EngineFacts(
        max_model_len=model.max_model_len,
        block_size=cache.block_size,
        max_num_seqs=scheduler.max_num_seqs,
        max_num_batched_tokens=scheduler.max_num_batched_tokens,
        kv_cache_tokens=blocks * cache.block_size,
        default_sampling=model.get_diff_sampling_param(),
        supported_tasks=list(supported_tasks),
        pooling=_pooling_facts(model, supported_tasks),
    )


def _pooling_facts(model: ModelConfig, supported_tasks: Sequence[str]) -> PoolingFacts | None:
    task = model.get_pooling_task(tuple(supported_tasks))
    if task is None:
        return None
    labels = getattr(model.hf_config, "id2label", None) or {}
    return PoolingFacts(
        task=task,
        embedding_size=model.embedding_size,
        is_matryoshka=model.is_matryoshka,
        matryoshka_dimensions=model.matryoshka_dimensions,
        scores=_scores(model, task),
        labels=[str(labels[number]) for number in sorted(labels)] if task == "classify" else [],
        separates_pairs=model.use_sep_token,
        lowercases=(model.encoder_config or {}).get("do_lower_case", False),
    )


def _scores(model: ModelConfig, task: PoolingTask) -> str | None:
    if task == "embed":
        return "bi-encoder"
    one_class = getattr(model.hf_config, "num_labels", 0) == 1
    # A model with a template of its own for pairs wants more than a tokenizer's.
    if task == "classify" and one_class and not supports_score_template(get_model_cls(model)):
        return "cross-encoder"
    return None
