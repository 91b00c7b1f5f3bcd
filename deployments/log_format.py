"""The text of a logged event: as a line of JSON, or for a terminal."""

import traceback
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any

import msgspec

Event = MutableMapping[str, Any]
_FRAMES = 20
"""Of an exception's stack so many are told, the innermost."""
_CHAIN = 5
"""So many exceptions that caused each other."""
OURS = frozenset({"deployments", "serve_app", "sluice"})
"""Loggers of ours begin with one of these."""
_FIRST = ("timestamp", "level", "event", "logger")

_DIM, _RESET = "\x1b[2m", "\x1b[0m"
_COLORS = {"debug": _DIM, "info": "", "warning": "\x1b[33m", "error": "\x1b[31m"}

_json = msgspec.json.Encoder(enc_hook=lambda value: type(value).__name__).encode


def as_json(_: Any, __: str, event: Event) -> str:
    """A line of JSON, which begins with what every event has."""
    first = {key: event.pop(key) for key in _FIRST if key in event}
    return _json({**first, **event}).decode()


class Console:
    """A line that a person reads at once: the time, what happened, and whatever else there is."""

    def __init__(self, *, colors: bool) -> None:
        self._colors = colors

    def __call__(self, _: Any, __: str, event: Event) -> str:
        level = event.pop("level")
        whose = str(event.pop("logger", "")).partition(".")[0]
        time, what, below = event.pop("timestamp"), event.pop("event"), event.pop("exception", "")
        rest = "".join(f" {key}={value}" for key, value in event.items() if value is not None)
        word = ("" if level == "info" else f"{level}: ") + ("" if whose in OURS else f"{whose}: ")
        line = f"{self._in(_DIM, time)} {self._in(_COLORS.get(level, ''), word + str(what))}"
        return line + self._in(_DIM, rest) + (f"\n{below}" if below else "")

    def _in(self, color: str, text: str) -> str:
        return f"{color}{text}{_RESET}" if self._colors and color and text else text


def exception_text(exc_info: Any, *, messages: bool = False) -> str:
    """An exception's types and places as Python prints them, without its message.

    Messages quote what was at hand, such as a prompt: only `messages` lets them in.
    """
    exc: BaseException | None = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    parts: list[str] = []
    while exc is not None and len(parts) < _CHAIN:
        parts.append(_one(exc, messages=messages))
        exc = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
    return "\ncaused\n".join(reversed(parts))


def _one(exc: BaseException, *, messages: bool) -> str:
    places = _places(exc.__traceback__)
    kind = type(exc)
    name = kind.__qualname__ if kind.__module__ == "builtins" else _full_name(kind)
    said = str(exc) if messages else _harmless_message(exc)
    return "\n".join([*places, f"{name}: {said}" if said else name])


def _full_name(kind: type[BaseException]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _harmless_message(exc: BaseException) -> str:
    """What the operating system says quotes no client."""
    return exc.strerror or "" if isinstance(exc, OSError) else ""


def _places(stack: TracebackType | None) -> list[str]:
    frames = list(traceback.walk_tb(stack))[-_FRAMES:]
    return [
        f'  File "{frame.f_code.co_filename}", line {line}, in {frame.f_code.co_qualname}'
        for frame, line in frames
    ]
