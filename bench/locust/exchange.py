"""One request, and when its answer came.

Over geventhttpclient's HTTPClient, which lies beneath Locust's FastHttpUser: it hands out each line
of a stream when it comes. FastHttpUser itself reads blocks of fixed size, so that a token waits for
those after it; it calls a stream answered when its head has come; and it follows redirects, with
the key, to anywhere.
"""

import json
import time
from typing import Any
from urllib.parse import urlsplit

from geventhttpclient.client import HTTPClient
from geventhttpclient.response import HTTPParseError, HTTPSocketPoolResponse

from bench.judgement.exchange import error_code
from bench.locust.messages import Answer, Request
from bench.locust.stream import Stream

_CONNECTS_WITHIN_S = 10.0
_AFTER_REFUSAL_S = 1.0  # where Retry-After is a date


class Client:
    """A server's address, the key to it and the connections to it."""

    def __init__(self, url: str, key: str | None, *, timeout_s: float, connections: int = 1):
        parts = urlsplit(url)
        self._prefix = parts.path
        self._headers = {"Content-Type": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._http = HTTPClient(
            parts.hostname or "",
            parts.port,
            ssl=parts.scheme == "https",
            concurrency=connections,
            connection_timeout=_CONNECTS_WITHIN_S,
            network_timeout=timeout_s,
        )

    def get(self, path: str) -> Any:
        """The JSON at `path`. Raises as `fetch` does."""
        return json.loads(self.fetch(path))

    def fetch(self, path: str) -> bytes:
        """What is at `path`. Raises OSError or ValueError, which says the status and the code."""
        try:
            response = self._http.request("GET", self._prefix + path, headers=self._headers)
            body: bytes = response.read()
        except HTTPParseError as exc:
            raise ValueError(f"no HTTP: {exc}") from exc
        if response.status_code != 200:
            raise ValueError(_said(response.status_code, body))
        return body

    def ask(self, request: Request) -> Answer:
        """POST, to the end of the answer, whatever that is."""
        sent_at, arrivals, stream = time.perf_counter(), [], Stream()
        known: dict[str, Any] = {"sent_at": sent_at}
        try:
            response = self._post(request)
            known["status"] = response.status_code
            try:
                if response.status_code != 200:
                    known |= _refusal(response) | {
                        "error": _said(response.status_code, response.read())
                    }
                elif request.stream:
                    while line := response.readline(b"\n"):
                        if stream.take(line):
                            arrivals.append(time.perf_counter())
                    known |= _streamed(stream)
                else:
                    known |= _whole(response.read())
            finally:
                response.release()
        except (OSError, HTTPParseError) as exc:
            known["error"] = f"{type(exc).__name__}: {exc}".rstrip(": ")
        return Answer(**known, done_at=time.perf_counter(), arrivals=tuple(arrivals))

    def close(self) -> None:
        self._http.close()

    def _post(self, request: Request) -> HTTPSocketPoolResponse:
        headers = {**self._headers, **request.headers}
        return self._http.request("POST", self._prefix + request.path, request.body, headers)


def _refusal(response: HTTPSocketPoolResponse) -> dict[str, float]:
    if response.status_code not in (429, 503):
        return {}
    told = [(response.get("retry-after-ms"), 1e-3), (response.get("retry-after"), 1.0)]
    given = [(text, unit) for text, unit in told if isinstance(text, str)]
    if not given:
        return {}
    text, unit = given[0]
    try:
        return {"retry_after_s": float(text) * unit}
    except ValueError:
        return {"retry_after_s": _AFTER_REFUSAL_S}


def _said(status: int, body: bytes) -> str:
    return f"{status} {error_code(body) or ''}".rstrip()


def _streamed(stream: Stream) -> dict[str, Any]:
    return {
        "tokens": stream.tokens or 0,
        "prompt_tokens": stream.prompt_tokens,
        "text": "".join(stream.pieces),
        "error": stream.error,
    }


def _whole(body: bytes) -> dict[str, Any]:
    try:
        usage = json.loads(body)["usage"]
        # Embeddings have no answer's tokens; what they worked off are the prompt's.
        tokens = usage.get("completion_tokens") or usage["prompt_tokens"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return {"error": "answer without usage"}
    return {"tokens": tokens, "prompt_tokens": usage["prompt_tokens"]}
