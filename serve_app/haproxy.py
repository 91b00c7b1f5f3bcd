"""What HAProxy is told beyond Serve's own configuration of it; haproxy.sh writes it there.

A request that never becomes one (no HTTP, headers beyond the buffer, a head that does not come in
time) gets HAProxy's own HTML of a 400 or a 408 all the same: its parser has those built in.
"""

from serve_app.http import errors
from serve_app.http.edge import MAX_HEADER_BYTES
from serve_app.http.wire import HEAD_S

BUFFER_BYTES = MAX_HEADER_BYTES + 8 * 1024
"""In which HAProxy must have the whole of a request's head. At its own choice of 16 KiB it would
refuse what the edge takes, and what the edge refuses in so many words."""

_FAULTS = (
    (400, "The body is not what HTTP/1.1 has it to be.", "invalid_http"),
    (502, "The router that had the request was lost.", "router_failed"),
    (503, "No router takes requests now.", "router_unavailable"),
    (504, "The router that had the request did not answer in time.", "router_failed"),
)
"""Serve would make a plain-text 500 of those from 502 on, and a 404 while nothing is deployed."""


def defaults() -> str:
    """Lines for its section `defaults`."""
    lines = [f"timeout http-request {HEAD_S:g}s"]
    for status, message, code in _FAULTS:
        content = errors.body(status, message, code=code).decode()
        assert "'" not in content  # which would end it
        retry = " hdr Retry-After 1" if status > 500 else ""
        lines.append(
            f"http-error status {status} content-type application/json string '{content}'{retry}"
        )
    return "\n".join("    " + line for line in lines)
