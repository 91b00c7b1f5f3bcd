"""Clients who ask all the time, each for a text of its own, and mind when it is another."""

import itertools
import json
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import httpx

from tests.support.server import Server, eventually

PAUSE_S = 0.2  # else a small machine has no time to start an engine
LONG = (400,)
MIXED = (20, 100, 400)


class Clients:
    """So many of them while it lasts, with answers of so many `tokens`, in turn; every other one
    wants a stream.

    Raises AssertionError at its end unless every answer was whole and the same as at first.
    """

    def __init__(
        self, server: Server, model: str, *, count: int = 4, tokens: Sequence[int] = LONG
    ) -> None:
        lengths = itertools.cycle(tokens)
        self._clients = [_Client(server, model, n, next(lengths)) for n in range(count)]

    @property
    def answers(self) -> int:
        """How many have come, to all of them."""
        return sum(len(client.answers) for client in self._clients)

    def wait_for_answers(self, count: int, within_s: float = 300) -> None:
        """Until so many have come."""
        eventually(lambda: self.answers >= count, within_s, f"{count} answers")

    def __enter__(self) -> "Clients":
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | object) -> None:
        for client in self._clients:
            client.over.set()
        for client in self._clients:
            client.join(120)
        if kind is None:
            wrong = [answer for c in self._clients for answer in c.answers if answer != c.expected]
            assert not wrong, f"{len(wrong)} of {self.answers} answers: {wrong[:3]}"
            assert not any(client.is_alive() for client in self._clients)


class _Client(threading.Thread):
    def __init__(self, server: Server, model: str, number: int, tokens: int) -> None:
        super().__init__()
        self._server = server
        self._body = {
            "model": model,
            "prompt": f"Number {number}",
            "max_tokens": tokens,
            "temperature": 0,
            "ignore_eos": True,
        }
        self._streams = number % 2 == 0
        self.expected = self._ask()
        self.answers: list[str] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(PAUSE_S):
            try:
                self.answers.append(self._stream() if self._streams else self._ask())
            except Exception as exc:
                self.answers.append(repr(exc))

    def _ask(self) -> str:
        answer: dict[str, Any] = self._server.post("/v1/completions", self._body).json()
        return str(answer["choices"][0]["text"] if "choices" in answer else answer)

    def _stream(self) -> str:
        text, ended = "", False
        with httpx.stream(
            "POST",
            self._server.url + "/v1/completions",
            json={**self._body, "stream": True},
            headers=self._server.headers,
            timeout=120,
        ) as response:
            for line in response.iter_lines():
                data = line.removeprefix("data: ")
                if data == "[DONE]":
                    ended = True
                elif data and not data.startswith(":"):
                    event = json.loads(data)
                    if "choices" not in event:
                        return data
                    text += "".join(choice["text"] for choice in event["choices"])
        return text if ended else f"cut off after {text!r}"
