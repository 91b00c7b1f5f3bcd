"""Sluice beside `vllm serve`: the load, what it costs, and how the two compare."""
