"""Which of a server's models to ask."""

import json
from collections.abc import Sequence
from typing import Any

from bench.attack_list import COMPLETIONS
from bench.locust.exchange import Client
from bench.locust.kinds import EMBEDDINGS
from bench.locust.messages import Request


class NoModel(Exception):
    """The message names the option that would say which."""


class Models:
    """What GET /v1/models lists; which of them does what is found out by asking it for a little."""

    def __init__(self, client: Client) -> None:
        """Raises NoModel when there is no list."""
        self._client = client
        try:
            self._all: Sequence[dict[str, Any]] = client.get("/v1/models")["data"]
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise NoModel(f"--host: GET /v1/models: {exc}") from exc
        # Adapters are models too, but nobody means them who names none.
        self._listed: Sequence[dict[str, Any]] = [
            model for model in self._all if not model.get("parent")
        ]

    def generating(self) -> tuple[str, int | None]:
        """The first that completes a prompt, and its context. Raises NoModel."""
        body = {"prompt": "Hi", "max_tokens": 1}
        model = self._first("--model", COMPLETIONS, body)
        return model["id"], model.get("max_model_len")

    def context_of(self, name: str) -> int | None:
        """How many tokens a model takes, or the one that an adapter is for, where that is said."""
        by_name = {model["id"]: model for model in self._all}
        model = by_name.get(name, {})
        base = by_name.get(model.get("parent"), {})
        context: int | None = model.get("max_model_len") or base.get("max_model_len")
        return context

    def embedding(self) -> str:
        """The first that embeds a text. Raises NoModel."""
        name: str = self._first("--embedding-model", EMBEDDINGS, {"input": "Hi"})["id"]
        return name

    def _first(self, option: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        said = "there is none"
        for model in self._listed:
            content = json.dumps({"model": model["id"], **body}).encode()
            answer = self._client.ask(Request(path, content))
            if answer.error is None:
                return model
            said = f"{model['id']}: {answer.error}"
        raise NoModel(f"{option}: no model of the server answers {path} ({said})")
