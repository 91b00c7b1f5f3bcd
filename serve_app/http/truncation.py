"""How `truncate_prompt_tokens` and `truncation_side` may be given, for prompts and inputs alike."""

from serve_app.http.openapi_requests import Rules, absent, either, given, is_not
from serve_app.http.parsing import invalid

RULES: Rules = (
    is_not("truncate_prompt_tokens", 0),
    either(absent("truncation_side"), given("truncate_prompt_tokens")),
)
"""The same as `check_truncation`, for the OpenAPI document."""


def check_truncation(length: int | None, side: str | None) -> None:
    """Raises BadRequest where the two do not agree."""
    if length == 0:
        raise invalid("truncate_prompt_tokens", "must be -1 or at least 1, but it is 0")
    if side is not None and length is None:
        raise invalid("truncation_side", "needs 'truncate_prompt_tokens'")


def check_context(length: int, context: int) -> None:
    """Raises BadRequest for what no model of that context could take in."""
    if length > context:
        raise invalid(
            "truncate_prompt_tokens", f"must be at most {context}, the model's context length"
        )
