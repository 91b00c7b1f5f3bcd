"""OpenTelemetry's own variables: whether there are traces, and what of it cannot be done.

The SDK itself reads nearly all of them. Where it would pass over one with a warning, or where only
other SDKs know it, start-up stops here with a line that names it. Nothing of OpenTelemetry is
imported for that.
"""

from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from urllib.parse import urlsplit

GRPC, HTTP = "grpc", "http/protobuf"
_GRPC_PORT = 4317
_DEFAULT_QUEUE, _DEFAULT_BATCH = 2048, 512
_SAMPLERS = ("always_on", "always_off", "traceidratio")
_RATIO = "traceidratio"
_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_PREFIX = "OTEL_"
_OF_OTLP = "OTEL_EXPORTER_OTLP_"

Check = Callable[[str], str | None]
"""What a value must be; None for one that is."""


class BadVariableError(ValueError):
    """Which variable is wrong and how to mend it, in one line. Secrets are not quoted."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {' '.join(message.split())}")


def of(environ: Mapping[str, str]) -> dict[str, str]:
    """All of them; one that is empty counts as unset, as OpenTelemetry has it."""
    return {n: v.strip() for n, v in environ.items() if n.startswith(_PREFIX) and v.strip()}


def take(environ: MutableMapping[str, str]) -> dict[str, str]:
    """The same, and what is started in `environ` from now on has none of them."""
    taken = of(environ)
    for name in [name for name in environ if name.startswith(_PREFIX)]:
        del environ[name]
    return taken


def are_on(variables: Mapping[str, str]) -> bool:
    """Whether traces are wanted: an exporter is named, or where to export to."""
    if _is_true(variables.get("OTEL_SDK_DISABLED")):
        return False
    return bool(exporters(variables))


def exporters(variables: Mapping[str, str]) -> list[str]:
    """Where traces go."""
    named = variables.get("OTEL_TRACES_EXPORTER")
    if named is None:
        wanted = any(f"{_OF_OTLP}{name}ENDPOINT" in variables for name in ("", "TRACES_"))
        return ["otlp"] if wanted else []
    names = [name.strip().lower() for name in named.split(",")]
    return [name for name in names if name != "none"]


def protocol(variables: Mapping[str, str]) -> str:
    """What OTLP is spoken over; OpenTelemetry's default, but for the port that is gRPC's."""
    named = of_otlp(variables, "PROTOCOL")
    if named is not None:
        return named.strip().lower()
    endpoint = of_otlp(variables, "ENDPOINT") or ""
    return GRPC if _port(endpoint) == _GRPC_PORT else HTTP


def of_otlp(variables: Mapping[str, str], name: str) -> str | None:
    """A variable of the OTLP exporter, which traces may have one of their own of."""
    return variables.get(f"{_OF_OTLP}TRACES_{name}", variables.get(_OF_OTLP + name))


def takes_context(variables: Mapping[str, str]) -> bool:
    """Whether a client's `traceparent` counts."""
    named = variables.get("OTEL_PROPAGATORS")
    return named is None or "tracecontext" in _names(named)


def want_content(variables: Mapping[str, str]) -> bool:
    """Whether traces are to have what clients and models have said."""
    return variables.get(_CONTENT, "").strip().lower() in {"true", "span_only"}


def check(variables: Mapping[str, str]) -> None:
    """Raises BadVariableError for what neither the SDK nor we do."""
    for name in ("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"):
        _check_one(name, variables)
    if not are_on(variables):
        return
    for name in variables:
        _check_one(name, variables)
    _check_sampler_argument(variables)
    _check_batches(variables)
    if "otlp" in exporters(variables):
        _check_endpoint(variables)


def _check_one(name: str, variables: Mapping[str, str]) -> None:
    if name not in variables:
        return
    if name in _REFUSED:
        raise BadVariableError(name, _REFUSED[name])
    checks = _CHECKS.get(name)
    if checks is None:
        if name.startswith(_MUST_BE_KNOWN) and not name.startswith(_OF_OTHER_SIGNALS):
            raise BadVariableError(
                name, "OpenTelemetry's SDK has no such variable; correct its name"
            )
        return
    wanted = checks(variables[name].strip())
    if wanted is not None:
        got = "" if name.endswith("HEADERS") else f", not {variables[name]!r}"
        raise BadVariableError(name, f"must be {wanted}{got}")


def _check_sampler_argument(variables: Mapping[str, str]) -> None:
    name = "OTEL_TRACES_SAMPLER_ARG"
    if name not in variables:
        return
    sampler = variables.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    if not sampler.endswith(_RATIO):
        raise BadVariableError(
            name,
            "it is for a sampler that takes a ratio; set OTEL_TRACES_SAMPLER=parentbased_"
            f"{_RATIO}, or unset it",
        )
    try:
        ratio = float(variables[name])
    except ValueError:
        ratio = -1
    if not 0 <= ratio <= 1:
        raise BadVariableError(name, f"must be a number from 0 to 1, not {variables[name]!r}")


def _check_batches(variables: Mapping[str, str]) -> None:
    name = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
    batch = int(variables.get(name, _DEFAULT_BATCH))
    queue = int(variables.get("OTEL_BSP_MAX_QUEUE_SIZE", _DEFAULT_QUEUE))
    if batch > queue:
        raise BadVariableError(
            name, f"{batch} is more than OTEL_BSP_MAX_QUEUE_SIZE, which is {queue}; lower it"
        )


def _check_endpoint(variables: Mapping[str, str]) -> None:
    for name in (f"{_OF_OTLP}TRACES_ENDPOINT", f"{_OF_OTLP}ENDPOINT"):
        endpoint = variables.get(name)
        if endpoint is None:
            continue
        over_http = protocol(variables) == HTTP
        wanted = "a URL, such as http://localhost:4318" if over_http else "a URL or host:port"
        scheme, _, rest = endpoint.strip().partition("://")
        if rest and scheme.lower() not in {"http", "https"}:
            raise BadVariableError(name, f"must begin with http:// or https://, not {scheme}://")
        if (over_http and not rest) or _port(endpoint) is None:
            raise BadVariableError(name, f"must be {wanted}, not {endpoint!r}")


def _port(endpoint: str) -> int | None:
    """0 where none is named, None for what is no address."""
    endpoint = endpoint.strip()
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
        return (parts.port or 0) if parts.hostname else None
    except ValueError:
        return None


def _names(value: str) -> list[str]:
    return [name.strip().lower() for name in value.split(",")]


def _is_true(value: str | None) -> bool:
    return value is not None and value.strip().lower() == "true"


def _one_of(*allowed: str) -> Check:
    return lambda value: None if value.lower() in allowed else " or ".join(allowed)


def _some_of(*allowed: str) -> Check:
    wanted = f"one or more of {', '.join(allowed)}, with commas"
    return lambda value: None if set(_names(value)) <= set(allowed) else wanted


def _whole(least: int) -> Check:
    def wanted(value: str) -> str | None:
        fits = value.isascii() and value.isdecimal() and int(value) >= least
        return None if fits else f"a whole number from {least} up"

    return wanted


def _seconds(value: str) -> str | None:
    try:
        return None if 0 < float(value) < float("inf") else "a number of seconds above 0"
    except ValueError:
        return "a number of seconds above 0"


def _file(value: str) -> str | None:
    return None if Path(value).is_file() else "a file that is there"


def _pairs(value: str) -> str | None:
    fits = all("=" in pair for pair in value.split(",") if pair.strip())
    return None if fits else "key=value, with commas between them"


def _anything(_: str) -> None:
    return None


_SPAN_LIMITS = (
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
)
_OTLP_CHECKS: dict[str, Check] = {
    "PROTOCOL": _one_of(GRPC, HTTP),
    "ENDPOINT": _anything,  # by the protocol, in `_check_endpoint`
    "INSECURE": _one_of("true", "false"),
    "TIMEOUT": _seconds,
    "COMPRESSION": _one_of("none", "gzip"),
    "HEADERS": _pairs,
    "CERTIFICATE": _file,
    "CLIENT_KEY": _file,
    "CLIENT_CERTIFICATE": _file,
}
_CHECKS: dict[str, Check] = {
    "OTEL_SDK_DISABLED": _one_of("true", "false"),
    "OTEL_TRACES_EXPORTER": _some_of("otlp", "console", "none"),
    "OTEL_TRACES_SAMPLER": _one_of(*_SAMPLERS, *(f"parentbased_{name}" for name in _SAMPLERS)),
    "OTEL_TRACES_SAMPLER_ARG": _anything,  # by the sampler, in `_check_sampler_argument`
    "OTEL_PROPAGATORS": _some_of("tracecontext", "baggage", "none"),
    "OTEL_RESOURCE_ATTRIBUTES": _pairs,
    "OTEL_BSP_SCHEDULE_DELAY": _whole(1),
    "OTEL_BSP_MAX_QUEUE_SIZE": _whole(1),
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": _whole(1),
    _CONTENT: _one_of("true", "false", "span_only", "no_content"),
    **dict.fromkeys(_SPAN_LIMITS, _whole(0)),
    **{f"{_OF_OTLP}{name}": wanted for name, wanted in _OTLP_CHECKS.items()},
    **{f"{_OF_OTLP}TRACES_{name}": wanted for name, wanted in _OTLP_CHECKS.items()},
}
_REFUSED = {
    "OTEL_BSP_EXPORT_TIMEOUT": "Python's SDK does not keep to it; set OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_CONFIG_FILE": "Sluice takes variables only; unset it",
    "OTEL_EXPERIMENTAL_CONFIG_FILE": "Sluice takes variables only; unset it",
}
"""What others do and we do not, and what to do instead."""
_OF_OTHER_SIGNALS = (f"{_OF_OTLP}METRICS_", f"{_OF_OTLP}LOGS_")
_MUST_BE_KNOWN = ("OTEL_TRACE", "OTEL_BSP_", "OTEL_SPAN_", "OTEL_PROPAGATOR", _OF_OTLP)
"""So begin those of traces: a misspelt one must not be passed over."""
