"""Load by Locust, from outside, on any server that speaks OpenAI's protocol: docs/load.md.

    locust -f bench/locust/locustfile.py --headless --host https://llm.example.com --run-time 5m

Only `locustfile`, `entries`, `loops` and `users` import locust, which patches the whole process.
"""
