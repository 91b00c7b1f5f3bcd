"""A simulated GPU under the real vLLM: serving stacks compared at GPU speeds on any machine.

What is real: vLLM's front end, engine core process, scheduler, block manager, prefix cache,
structured output. What is **simulated compute**: there are no weights. A step takes the time that
a roofline gives it on the chosen GPU (`roofline.py`), there are as many KV blocks as that GPU would
hold, and the next token is a hash of the context (`contexts.py`): English-like words without
sense, the same for the same context however it is batched, cached, preempted or resumed elsewhere.

What it is not: a measurement of a GPU. It says what a serving stack adds to an engine of a given
speed. Sampling parameters that shape a distribution (temperature, top_p, penalties, biases) have
nothing to shape; log-probabilities are those of the uniform draw over the words; an `n` above 1
needs a `seed` to differ. Speculative decoding, LoRA, sleeping and the like are refused.

To use it, from the root of the repository, with any model directory for tokenizer and limits:

    python -m vllm.entrypoints.openai.api_server --model DIRECTORY --block-size 16 \\
        --distributed-executor-backend bench.simulated.executor.SimulatedExecutor \\
        --additional-config '{"simulated": {"gpu": "h200", "model": "llama-3.1-8b"}}'

Sluice takes the same as `engine_args`; ray.serve.llm needs `rayllm.py` beside them. The keys under
`simulated` are in `settings.py`. The number of KV blocks follows from them and from
`gpu_memory_utilization`, or is `num_gpu_blocks_override`; `kv_cache_memory_bytes` and
VLLM_CPU_KVCACHE_SPACE, which speak of this machine's memory, have no part in it.
"""
