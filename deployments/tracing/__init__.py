"""Traces in OpenTelemetry's terms: what routers and engine replicas share of them.

Only `provider`, `w3c` and `engine_spans` import OpenTelemetry, and nothing imports them while it is
off.
"""
