"""Loaded adapters in Ray's own key-value store: every router sees them, and no router's end, nor an
engine's, loses them. They last as long as the Ray cluster.

It uses `ray.experimental.internal_kv`, read against Ray 2.60.0.
"""

from ray.experimental import internal_kv

_PREFIX = "adapters/"


class RayStore:
    """The adapters of one application. A `Store` of deployments.adapters."""

    def __init__(self, application: str) -> None:
        self._namespace = f"sluice {application}"

    def read(self) -> list[bytes]:
        """All that it has."""
        space = self._namespace
        keys = internal_kv._internal_kv_list(_PREFIX, namespace=space)
        values = [internal_kv._internal_kv_get(key, namespace=space) for key in keys]
        return [value for value in values if value is not None]  # one may just have been removed

    def put(self, name: str, value: bytes, *, replace: bool) -> bool:
        """Keep `value`; False, without doing so, where there is one and it may not be replaced."""
        existed: bool = internal_kv._internal_kv_put(
            _PREFIX + name, value, overwrite=replace, namespace=self._namespace
        )
        return replace or not existed

    def remove(self, name: str) -> bool:
        """Forget it; False where there is none."""
        removed: int = internal_kv._internal_kv_del(_PREFIX + name, namespace=self._namespace)
        return removed > 0
