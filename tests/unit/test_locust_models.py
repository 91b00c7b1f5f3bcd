"""What is known of the models that a test asks."""

from typing import Any, cast

import pytest

from bench.locust.models import Models

LISTED = [
    {"id": "small", "max_model_len": 512},
    {"id": "formal", "parent": "small"},
    {"id": "other server's"},
]


class FakeClient:
    """Says what models there are."""

    def get(self, path: str) -> dict[str, Any]:
        assert path == "/v1/models"
        return {"data": LISTED}


@pytest.mark.parametrize(
    ("name", "context"),
    [("small", 512), ("formal", 512), ("other server's", None), ("unlisted", None)],
)
def test_a_session_may_grow_as_long_as_its_model_takes(name: str, context: int | None) -> None:
    assert Models(cast(Any, FakeClient())).context_of(name) == context
