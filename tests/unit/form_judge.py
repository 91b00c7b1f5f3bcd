"""Run as a program: stands for deployments.form_server, which takes seconds to start.

It judges a form by its regex: "bad..." is refused, "starved..." is not settled, at "die" it ends,
"hold..." waits until "release" has come, and anything else passes.
"""

import socket
import sys

import msgspec

from deployments.form_server import Try, Verdict


def _read(control: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = control.recv(count - len(data))
        if not more:
            sys.exit()
        data += more
    return data


def main() -> None:
    """Serve on standard input."""
    control = socket.socket(fileno=0)
    held: list[int] = []

    def answer(verdict: Verdict) -> None:
        data = msgspec.msgpack.encode(verdict)
        control.sendall(len(data).to_bytes(4, "little") + data)

    while True:
        length = int.from_bytes(_read(control, 4), "little")
        task = msgspec.msgpack.decode(_read(control, length), type=Try)
        regex = task.form.regex or ""
        if regex == "die":
            sys.exit()
        if regex.startswith("hold"):
            held.append(task.id)
            continue
        if regex == "release":
            for number in held:
                answer(Verdict(number, None))
            held.clear()
        reason = f"{regex} is bad" if regex.startswith("bad") else None
        answer(Verdict(task.id, reason, settled=not regex.startswith("starved")))


if __name__ == "__main__":
    main()
