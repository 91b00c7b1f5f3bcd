"""What the unit tests put in the place of the store of loaded adapters."""

import threading


class FakeStore:
    """A `Store` of deployments.adapters in memory; while `gate` is clear, nothing is answered."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.reads = 0
        self.error: Exception | None = None
        self.fails_to_read = False
        self.gate = threading.Event()
        self.gate.set()

    def read(self) -> list[bytes]:
        self.reads += 1
        self._answer()
        if self.fails_to_read:
            raise RuntimeError("no GCS")
        return list(self.values.values())

    def put(self, name: str, value: bytes, *, replace: bool) -> bool:
        self._answer()
        if name in self.values and not replace:
            return False
        self.values[name] = value
        return True

    def remove(self, name: str) -> bool:
        self._answer()
        return self.values.pop(name, None) is not None

    def _answer(self) -> None:
        self.gate.wait(10)
        if self.error is not None:
            raise self.error
