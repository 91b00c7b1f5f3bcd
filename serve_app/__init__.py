"""Sluice: a batching inference server on Ray Serve, with a router in the token path.

`serve run serve_app:app` serves the embedded default model;
`serve run serve_app:build config=my.yaml` serves a configuration;
`python -m serve_app` does either behind HAProxy, and is the fast way.
"""

from typing import Any

__all__ = ["app", "build"]


def build(options: dict[str, Any]) -> Any:
    """The application for `options`: `config` (a YAML file) and dotted keys of the schema."""
    # Imported late: `python -m serve_app` has to set the environment before Ray is imported.
    from serve_app.launch import build_for_serve_run

    return build_for_serve_run(options)


def __getattr__(name: str) -> Any:
    if name == "app":
        return build({})
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
