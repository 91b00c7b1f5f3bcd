"""A small server of OpenAI's protocol that pauses between tokens and knows for how long it did."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FIRST_S, GAP_S, TOKENS = 0.15, 0.05, 8
_MODELS = {"data": [{"id": "m", "max_model_len": 2048}]}


class Slow(ThreadingHTTPServer):
    """What the model in the request says decides what comes of it."""

    daemon_threads = True
    request_queue_size = 128  # else who comes when five wait comes again a second later

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.ttft_s: list[float] = []
        self.itl_s: list[float] = []

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that leave."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Slow
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._whole(200, _MODELS)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append(body)
        self.server.keys.add(self.headers["Authorization"])
        model = body["model"]
        if self.path == "/v1/embeddings" or model == "bad":
            self._whole(400, {"error": {"code": "unsupported_task"}})
        elif model == "busy":
            self._whole(503, {"error": {"code": "overloaded"}}, **{"Retry-After": "1"})
        elif not body.get("stream"):
            self._whole(200, {"usage": {"prompt_tokens": 3, "completion_tokens": 5}})
        else:
            self._stream(model)

    def _whole(self, status: int, body: Any, **headers: str) -> None:
        content = json.dumps(body, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, model: str) -> None:
        last = time.perf_counter()
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
        for number in range(TOKENS):
            time.sleep(GAP_S if number else FIRST_S)
            self._event({"choices": [{"delta": {"content": " a"}}]})
            now = time.perf_counter()
            (self.server.itl_s if number else self.server.ttft_s).append(now - last)
            last = now
            if number == 2 and model == "dies":
                self.connection.close()
                self.close_connection = True
                return
            if number == 2 and model == "fails":
                self._event({"error": {"code": "engine_failed"}})
                self._piece(b"")
                return
        usage = {"prompt_tokens": 3, "completion_tokens": TOKENS}
        self._event({"choices": [], "usage": usage})
        self._piece(b"data: [DONE]\n\n")
        self._piece(b"")

    def _event(self, content: Any) -> None:
        self._piece(b"data: " + json.dumps(content).encode() + b"\n\n")

    def _piece(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))


@contextmanager
def serving() -> Iterator[Slow]:
    """One of them while it lasts."""
    with Slow() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
