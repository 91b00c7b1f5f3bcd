"""Every metric that a router replica exposes: docs/metrics.md says the same, and a test holds them
against each other.

Engine figures, and what vLLM's own server measures beside the engine, have vLLM 0.32's names
(vllm/v1/metrics/loggers.py). Labels are a model of the configuration, a class, a tenant of the
configuration's keys, a code of deployments.errors: no client can make new ones. `stream` is "true",
or "false" for what is answered whole: its tokens come in larger pieces, and nobody sees them come.
"""

from dataclasses import dataclass
from typing import Literal

from deployments.metering.histogram import steps

REPLICA = "replica"
"""The label of what each router replica tells of itself. What any of them can tell, of engines, has
none: it is told once, by the one that is asked."""

COARSE_S = steps((1, 2.5, 5), -4, 3)
_RENARD = (
    *(1, 1.12, 1.25, 1.4, 1.6, 1.8, 2, 2.24, 2.5, 2.8),
    *(3.15, 3.55, 4, 4.5, 5, 5.6, 6.3, 7.1, 8, 9),
)
"""ISO 3's R20: an eighth apart, so that a percentile read from them is off by a few percent at the
most. With a quarter, two that lay 4 % apart were read as 12 %, on both sides of a bound."""
FIRST_S = steps(_RENARD, -3, 2)
GAP_S = steps(_RENARD, -4, 1)


@dataclass(frozen=True)
class Family:
    """One metric. Units are in the names, as Prometheus wants it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    bounds: tuple[float, ...] = ()
    """Of a histogram."""

    @property
    def by_replica(self) -> bool:
        """Whether it is told by each router replica."""
        return REPLICA in self.labels


def _counter(name: str, labels: str, text: str) -> Family:
    return Family(name, "counter", (REPLICA, *labels.split()), text)


def _gauge(name: str, labels: str, text: str) -> Family:
    return Family(name, "gauge", (REPLICA, *labels.split()), text)


def _histogram(name: str, labels: str, text: str, bounds: tuple[float, ...] = COARSE_S) -> Family:
    return Family(name, "histogram", (REPLICA, *labels.split()), text, bounds)


def _of_engines(name: str, labels: str, text: str) -> Family:
    return Family(name, "gauge", tuple(labels.split()), text)


RUNNING = _of_engines(
    "vllm:num_requests_running", "model_name engine", "Sequences in the engine's batch."
)
WAITING = _of_engines(
    "vllm:num_requests_waiting",
    "model_name engine",
    "Sequences that the engine has and does not run yet.",
)
KV_CACHE_USAGE = _of_engines(
    "vllm:kv_cache_usage_perc", "model_name engine", "Share of KV blocks in use, 0 to 1."
)
STEP_TIME = _of_engines(
    "sluice_engine_step_seconds",
    "model engine",
    "Moving average of the time between two steps while the engine is busy.",
)
ENGINES = _of_engines("sluice_engine_replicas", "model", "Engine replicas that Serve says run.")

TIME_TO_FIRST_TOKEN = _histogram(
    "vllm:time_to_first_token_seconds",
    "model_name stream",
    "From a request to its first token, without the wait for its body: the sum of three parts.",
    FIRST_S,
)
INTER_TOKEN_LATENCY = _histogram(
    "vllm:inter_token_latency_seconds",
    "model_name stream",
    "Between a sequence's tokens: of a stream as they are written, else as they come from engines.",
    GAP_S,
)
PROMPT_TOKENS = _counter(
    "vllm:prompt_tokens_total", "model_name", "Prompt tokens of sequences that have begun."
)
GENERATION_TOKENS = _counter(
    "vllm:generation_tokens_total", "model_name", "Tokens that engines have generated."
)
PREFIX_CACHE_QUERIES = _counter(
    "vllm:prefix_cache_queries_total", "model_name", "Tokens looked up in engines' prefix caches."
)
PREFIX_CACHE_HITS = _counter(
    "vllm:prefix_cache_hits_total", "model_name", "Those of them that were there."
)
REQUEST_SUCCESS = _counter(
    "vllm:request_success_total",
    "model_name finished_reason",
    "Sequences that have ended in order.",
)

FRAMEWORK_TIME = _histogram(
    "sluice_framework_seconds",
    "model class stream",
    "To its place in the queue, without the wait for its body: validated, rendered, tokenized.",
)
QUEUE_TIME = _histogram(
    "sluice_queue_seconds", "model class stream", "In the router's queue, until an engine got it."
)
ENGINE_TIME = _histogram(
    "sluice_engine_seconds",
    "model class stream",
    "From there to the first token: Ray, engine and back.",
)
INTER_TOKEN_ENGINE = _histogram(
    "sluice_inter_token_engine_seconds",
    "model stream",
    "Between a sequence's tokens, as the engine core made them.",
    GAP_S,
)
INTER_TOKEN_FRAMEWORK = _histogram(
    "sluice_inter_token_framework_seconds",
    "model stream",
    "How long a token behind the first was on its way: in the engine replica, and in the router.",
    GAP_S,
)
PREDICTED = _histogram(
    "sluice_first_token_predicted_seconds",
    "model class",
    "What the forecast said of queue and engine when the request came, of those that began.",
)
ACTUAL = _histogram(
    "sluice_first_token_actual_seconds", "model class", "What became of it, for the same requests."
)
PREDICTION_ERROR = _gauge(
    "sluice_prediction_error_seconds",
    "model",
    "Moving average of how far the forecast was off, either way.",
)
QUEUE_REQUESTS = _gauge(
    "sluice_queue_requests", "model class", "Sequences that wait in the router for an engine."
)
QUEUE_COST = _gauge(
    "sluice_queue_cost_tokens",
    "model class",
    "Their cost: prompt tokens, and twice the tokens that are expected of them.",
)
ADMITTED = _counter("sluice_requests_admitted_total", "model class", "Requests taken in.")
REFUSED = _counter(
    "sluice_requests_refused_total",
    "model class reason",
    "Requests that the queue did not take in, by the error's code.",
)
FAILED = _counter(
    "sluice_requests_failed_total",
    "model class reason",
    "Requests taken in and not served to their end, by the error's code.",
)
TENANT_PROMPT_TOKENS = _counter(
    "sluice_prompt_tokens_total", "model tenant", "Prompt tokens of sequences that have begun."
)
TENANT_CACHED_TOKENS = _counter(
    "sluice_cached_tokens_total", "model tenant", "Those of them that an engine had cached."
)
TENANT_GENERATION_TOKENS = _counter(
    "sluice_generation_tokens_total", "model tenant", "Tokens that engines have generated."
)
MOVES = _counter(
    "sluice_moves_total", "model", "How often a sequence has gone on with another engine."
)
ENGINE_UP = _gauge(
    "sluice_engine_up",
    "model engine",
    "1 while the engine beats and makes progress, as the router hears it.",
)
ENGINE_DRAINING = _gauge("sluice_engine_draining", "model engine", "1 while it takes no more work.")
ENGINE_BREAKER = _gauge(
    "sluice_engine_breaker", "model engine state", "1 for the state of the router's breaker for it."
)
ENGINE_IN_FLIGHT = _gauge(
    "sluice_engine_in_flight", "model engine", "Sequences that the router has there."
)
BEATS_MISSED = _counter(
    "sluice_engine_beats_missed_total",
    "model engine",
    "How often nothing was heard of it for 0.9 s, over a connection that stood.",
)
HTTP_REQUESTS = _histogram(
    "sluice_http_request_seconds",
    "endpoint status",
    "From a request's headers to its answer's end.",
)
HTTP_ERRORS = _counter(
    "sluice_http_errors_total",
    "endpoint code",
    "Requests answered with an error, be it in a stream that had begun, by the error's code.",
)
LOOP_LAG = _histogram(
    "sluice_event_loop_lag_seconds", "", "How late the event loop was, looked at 4 times a second."
)
PEERS_MISSED = _counter(
    "sluice_metrics_peers_missed_total", "", "Router replicas that did not answer a scrape in time."
)

FAMILIES = tuple(each for each in list(globals().values()) if isinstance(each, Family))
"""In this order they are exposed."""
