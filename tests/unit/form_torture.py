"""Run as a program: the real deployments.form_server, with trials that hurt by name of a regex."""

import ctypes
import os
import sys
import time

from deployments import form_server
from deployments.messages import StructuredOutputs


def _spin() -> str:
    while True:
        pass


def _allocate() -> str:
    held = []
    while True:
        held.append(bytearray(16 << 20))


def _overflow() -> str:
    def deeper(depth: int) -> int:
        return 1 + deeper(depth + 1)

    sys.setrecursionlimit(1 << 30)
    return str(deeper(0))


def _crash() -> str:
    return str(ctypes.string_at(0))


def _sleep() -> str:
    time.sleep(60)
    return "it has slept"


def _abort() -> str:
    os.abort()


_DEEDS = {
    "abort": _abort,
    "allocate": _allocate,
    "crash": _crash,
    "overflow": _overflow,
    "sleep": _sleep,
    "spin": _spin,
}


def find_fault(form: StructuredOutputs) -> str | None:
    """As the regex says; any other is fine, or has its own words for a fault."""
    regex = form.regex or ""
    if regex in _DEEDS:
        return _DEEDS[regex]()
    if regex.startswith("raise"):
        raise ValueError(regex)
    return regex if regex.startswith("fault") else None


STARVED = "FORM_TORTURE_STARVED_S"
"""How long a trial may take without using CPU time, if it is not as long as usual."""

if __name__ == "__main__":
    form_server.STARVED_S = float(os.environ.get(STARVED, form_server.STARVED_S))
    form_server.serve(find_fault, *sys.argv[1:])
