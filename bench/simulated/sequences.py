"""Follows vLLM's scheduler: what each step computes, and which token each sequence gets from it.

Written against vLLM 0.32.0: `SchedulerOutput` for either of its GPU model runners, without
speculative decoding.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import from_numpy
from vllm.v1.core.sched.output import GrammarOutput, NewRequestData, SchedulerOutput
from vllm.v1.outputs import LogprobsLists, LogprobsTensors, ModelRunnerOutput

from bench.simulated.contexts import Contexts, Hashes, Slots
from bench.simulated.roofline import Counts
from bench.simulated.vocabulary import TokenIds, Vocabulary
from deployments.vllm_resume import emitted_token_ids


@dataclass(frozen=True)
class Batch:
    """One step's sequences, by the order of their ids."""

    ids: list[str]
    slots: Slots
    computed: Counts
    """Tokens of each that are in the KV cache already."""
    scheduled: Counts
    """Tokens of each that this step computes."""
    yields: NDArray[np.bool_]
    """Which get a token: the others still have a part of their prompt to go."""


class Sequences:
    """The sequences that the scheduler knows of."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._contexts = Contexts()
        self._prompt_lengths: dict[str, int] = {}
        self._logprobs: dict[str, int] = {}
        self._prompt_logprobs: dict[str, tuple[TokenIds, int]] = {}

    def take(self, output: SchedulerOutput) -> Batch:
        """Take in what the scheduler decided for the next step."""
        self._drop(output.finished_req_ids)
        cached, new = output.scheduled_cached_reqs, output.scheduled_new_reqs
        for name in cached.resumed_req_ids & cached.all_token_ids.keys():
            # A preempted one may have lost the token of a step that ran at that moment.
            self._contexts.reset(name, cached.all_token_ids[name])
        added = [self._add(request) for request in new]
        prompts = map(self._prompt_lengths.__getitem__, cached.req_ids)
        known = [*map(int.__add__, prompts, cached.num_output_tokens), *added]
        ids = cached.req_ids + [request.req_id for request in new]
        computed = np.array(
            cached.num_computed_tokens + [request.num_computed_tokens for request in new], np.int64
        )
        counts = map(output.num_scheduled_tokens.__getitem__, ids)
        scheduled = np.fromiter(counts, np.int64, len(ids))
        yields = computed + scheduled >= np.array(known, np.int64)
        return Batch(ids, self._contexts.slots(ids), computed, scheduled, yields)

    def sample(self, batch: Batch, grammar: GrammarOutput | None) -> ModelRunnerOutput:
        """Give each sequence whose turn it is its next token."""
        chosen = np.flatnonzero(batch.yields)
        slots = batch.slots[chosen]
        draws = self._contexts.draws(slots)
        tokens = self._vocabulary.pick(draws)
        names = batch.ids if len(chosen) == len(batch.ids) else [batch.ids[i] for i in chosen]
        if grammar is not None:
            self._constrain(tokens, names, draws, grammar)
        self._contexts.append(slots, tokens, (batch.computed + batch.scheduled)[chosen])
        sampled: list[list[int]] = [[token] for token in tokens.tolist()]
        if names is not batch.ids:
            by_name = dict(zip(names, sampled, strict=True))
            sampled = [by_name.get(name, []) for name in batch.ids]
        return ModelRunnerOutput(
            req_ids=batch.ids,
            req_id_to_index={name: i for i, name in enumerate(batch.ids)},
            sampled_token_ids=sampled,
            logprobs=self._candidates(batch, chosen, tokens, draws) if self._logprobs else None,
            prompt_logprobs_dict={
                name: self._prompt_candidates(*self._prompt_logprobs.pop(name))
                for name in self._prompt_logprobs.keys() & names
            }
            if self._prompt_logprobs
            else {},
        )

    def _add(self, request: NewRequestData) -> int:
        """Begin a sequence and return how many tokens of it are known."""
        name, params = request.req_id, request.sampling_params
        # The first one is set for vLLM's newer model runner alone, which also hears of a preempted
        # sequence as of a new one; the last is what another engine has generated of it.
        token_ids = request.prefill_token_ids or [
            *request.prompt_token_ids,
            *emitted_token_ids(params),
        ]
        again = name in self._contexts
        self._contexts.add(name, token_ids, params.seed)
        self._prompt_lengths[name] = len(request.prompt_token_ids)
        if params.num_logprobs is not None:
            self._logprobs[name] = params.num_logprobs
        if params.prompt_logprobs is not None and not again:
            prompt = np.array(request.prompt_token_ids, np.int64)
            self._prompt_logprobs[name] = prompt, params.prompt_logprobs
        return len(token_ids)

    def _drop(self, names: set[str]) -> None:
        self._contexts.drop(names)
        for name in names:
            self._prompt_lengths.pop(name, None)
            self._logprobs.pop(name, None)
            self._prompt_logprobs.pop(name, None)

    def _constrain(
        self, tokens: TokenIds, names: list[str], draws: Hashes, grammar: GrammarOutput
    ) -> None:
        """Replace the tokens of sequences that have a grammar, in place."""
        rows = {name: i for i, name in enumerate(names)}
        constrained = grammar.structured_output_request_ids
        for name, bitmask in zip(constrained, grammar.grammar_bitmask, strict=True):
            i = rows[name]
            tokens[i] = self._vocabulary.pick_allowed(int(draws[i]), bitmask)

    def _candidates(
        self, batch: Batch, chosen: NDArray[np.intp], tokens: TokenIds, draws: Hashes
    ) -> LogprobsLists:
        """Row i is of sequence i: its token, then as many words as the greediest one asked for."""
        asked = [self._logprobs.get(name, 0) for name in batch.ids]
        wanted = len(self._vocabulary.words) if -1 in asked else max(asked)
        columns = self._table(tokens, draws, wanted)
        ids = np.zeros((len(batch.ids), columns.shape[1]), np.int64)
        ids[chosen] = columns
        return LogprobsLists(ids, self._uniform(ids), np.ones(len(ids), np.int64))

    def _prompt_candidates(self, prompt: TokenIds, wanted: int) -> LogprobsTensors:
        """One row for each prompt token but the first, laid out as `_candidates`."""
        tokens = prompt[1:]
        count = len(self._vocabulary.words) if wanted == -1 else wanted
        ids = self._table(tokens, tokens.astype(np.uint64), count)
        rank = np.ones(len(ids), np.int64)
        return LogprobsTensors(*map(from_numpy, (ids, self._uniform(ids), rank)))

    def _table(self, tokens: TokenIds, draws: Hashes, wanted: int) -> TokenIds:
        ids = np.empty((len(tokens), 1), np.int64)
        ids[:, 0] = tokens
        return np.hstack([ids, self._vocabulary.alternatives(draws, wanted)])

    def _uniform(self, ids: TokenIds) -> NDArray[np.float32]:
        """Every word is as likely as any other."""
        return np.full(ids.shape, -math.log(len(self._vocabulary.words)), np.float32)
