"""Load by Locust, from outside, on any server that speaks OpenAI's protocol: docs/load.md.

    locust -f bench/locust/locustfile.py --headless --host https://llm.example.com --run-time 5m

Locust patches the process that imports it. What is said, when, and how it is judged (`kinds`,
`arrivals`, `shapes`, `slo`, `options`, `mixes`, `stream`) and `exchange` do without it.
"""
