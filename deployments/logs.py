"""What is logged, and how it is written: one line for an event, to standard error.

Every process of ours calls `install`: loggers of Python's own `logging`, ours and others', then
write JSON, or what is readable at a terminal. Nothing that a client sends may be in it: of an
exception, whose message may quote a prompt, it has the type and the place
(`deployments/log_format.py`).
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Mapping, MutableMapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import structlog

from deployments.log_format import OURS, Console, Event, as_json, exception_text

OPTIONS_VARIABLE = "SLUICE_LOG_OPTIONS"
"""By it engine replicas, and vLLM's processes below them, hear how to log; no setting."""
VLLM_CONFIG = Path(__file__).with_name("data") / "vllm_logging.json"
"""vLLM reads it in each of its processes; it names `vllm_handler`."""
_RAYS = ("ray", "ray.serve")
_RAYS_AUTHENTICATION = "ray._private.authentication"
_FOREIGN_LEVEL = logging.WARNING
"""What others have to say below that is for those who work on them."""
_EXTRA = ("request_id",)
"""What may be said with an event."""
_CHOSEN = (
    "Enforce eager set",
    "Inductor compilation was disabled by user settings",
    "Model Runner V2 requires Triton",
    "Reset SSM cache type to float32",
    "Triton is not installed",
    "Using custom scheduler class",
    "libiomp is not found",
    "libtcmalloc is not found",
)
"""What vLLM 0.32.0 warns of at each start, and what is so because we have chosen it."""


@dataclass(frozen=True)
class LogOptions:
    """How to log; serve_app/log_config.py has the words for it."""

    level: str = "info"
    format: str = "json"
    colors: bool = False
    exception_messages: bool = False

    def environment(self) -> dict[str, str]:
        """What tells a process, and those that it starts."""
        return {OPTIONS_VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def of_environment(cls) -> "LogOptions":
        """What the environment tells; JSON where it tells nothing."""
        return cls(**json.loads(os.environ.get(OPTIONS_VARIABLE, "{}")))

    @property
    def number(self) -> int:
        """The level as `logging` has it."""
        return logging.getLevelNamesMapping()[self.level.upper()]


def install(options: LogOptions, **context: str) -> None:
    """Everything that this process logs from now on is written so, with `context` in each line."""
    _whose.update(context)
    handler = logging.StreamHandler(stderr())
    handler.setFormatter(formatter(options))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(_FOREIGN_LEVEL)
    for name in OURS:
        logging.getLogger(name).setLevel(options.number)
    # Ray and Serve have handlers of their own. Of what Serve says only warnings are for others: its
    # lines for each request would be second ones.
    for name in _RAYS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(_FOREIGN_LEVEL)
    logging.getLogger(_RAYS_AUTHENTICATION).setLevel(logging.ERROR)  # warns that it is on
    logging.captureWarnings(capture=True)
    _catch_what_nobody_catches()


def install_engine(**context: str) -> None:
    """The same in an engine replica, and for vLLM in it and in the processes that it starts."""
    install(LogOptions.of_environment(), **context)
    os.environ.setdefault("VLLM_LOGGING_CONFIG_PATH", str(VLLM_CONFIG))


def formatter(options: LogOptions) -> logging.Formatter:
    """Writes what is logged by way of Python's own `logging`."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_harmless],
        processors=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(allow=_EXTRA),
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *processors(options),
        ],
        keep_exc_info=False,
        pass_foreign_args=False,
        use_get_message=True,
    )


def processors(options: LogOptions) -> list[Any]:
    """From an event to the text of its line."""
    is_json = options.format == "json"

    def with_exception(_: Any, __: str, event: Event) -> Event:
        exc_info = event.pop("exc_info", None)
        if exc_info:
            messages = options.exception_messages
            event["exception"] = exception_text(exc_info, messages=messages)
        return event

    def with_context(_: Any, __: str, event: Event) -> Event:
        event.update(_whose)
        return event

    return [
        structlog.processors.TimeStamper(fmt="iso" if is_json else "%H:%M:%S", utc=is_json),
        with_exception,
        *([with_context, as_json] if is_json else [Console(colors=options.colors)]),
    ]


def vllm_handler() -> logging.Handler:
    """The handler of vLLM's loggers, for vLLM's own configuration of them.

    It sets their level, too, which the environment says and a file could not.
    """
    logging.getLogger("vllm").setLevel(os.environ.get("VLLM_LOGGING_LEVEL", "WARNING"))
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)  # warns where it is not
    handler = logging.StreamHandler(stderr())
    handler.setFormatter(formatter(LogOptions.of_environment()))
    handler.addFilter(_is_news)
    return handler


def stderr() -> TextIO:
    """Standard error itself: in a replica Serve puts its own log in its place."""
    return sys.__stderr__ or sys.stderr


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_CHOSEN)


_whose: dict[str, str] = {}
"""What every line of this process has: whose it is."""


def context() -> Mapping[str, str]:
    """What every line of this process has."""
    return _whose


def _harmless(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Of what asyncio and `warnings` say, the first line: below it values are quoted."""
    record: logging.LogRecord = event["_record"]
    if record.name in {"asyncio", "py.warnings"}:
        event["event"] = event["event"].partition("\n")[0]
    if record.name == "py.warnings":  # path:line: Category: message
        event["event"] = ":".join(event["event"].split(":")[:3])
    return event


def _catch_what_nobody_catches() -> None:
    """Python would print exceptions with their messages."""
    logger = logging.getLogger("sluice")

    def in_thread(args: threading.ExceptHookArgs) -> None:
        exc = args.exc_value
        logger.error("A thread ended", exc_info=exc)

    def unraisable(args: Any) -> None:
        logger.error("An exception could not be raised", exc_info=args.exc_value)

    threading.excepthook = in_thread
    sys.unraisablehook = unraisable
