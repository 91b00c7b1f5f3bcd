"""What the router's judgement is worth, measured from outside on a running server.

    python -m bench.judgement.overload    goodput beyond capacity, deadlines, Retry-After
    python -m bench.judgement.flood       one tenant's latency while another floods
    python -m bench.judgement.affinity    cached tokens by placement policy
    python -m bench.judgement.kills       streams whose engine is killed

Each prints circumstances, tables and one JSON line last, leaves the same in bench/results, and ends
with 1 when it misses one of its own bars.
"""
