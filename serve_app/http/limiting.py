"""Bounds of fields that the configuration sets: they are looked up in the context of validation."""

from collections.abc import Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from serve_app.http.parsing import INVALID_VALUE, Refused, describe
from serve_app.limits import DEFAULT_LIMITS, Limits

_shown = ContextVar("shown", default=DEFAULT_LIMITS)
_LENGTHS = {"array": "maxItems", "object": "maxProperties", "string": "maxLength"}


def limits_of(info: ValidationInfo) -> Limits:
    """What the configuration says, or its defaults where nobody has said what it does."""
    limits: Limits = info.context or DEFAULT_LIMITS
    return limits


@contextmanager
def shown(limits: Limits) -> Iterator[None]:
    """JSON schemas that are made meanwhile show these."""
    token = _shown.set(limits)
    try:
        yield
    finally:
        _shown.reset(token)


class _Within:
    """An annotation: the limit of that name bounds the field. JSON schemas show those of `shown`,
    or the default."""

    def __init__(self, limit: str) -> None:
        self._limit = limit

    def bound(self, info: ValidationInfo) -> int:
        bound: int = getattr(limits_of(info), self._limit)
        return bound

    @property
    def shown(self) -> int:
        bound: int = getattr(_shown.get(), self._limit)
        return bound


class LengthWithin(_Within):
    """Bounds how long an array, an object or a text may be, before what is in it is looked at."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def check(value: Any, info: ValidationInfo) -> Any:
            bound = self.bound(info)
            if not isinstance(value, Sized) or len(value) <= bound:
                return value
            if isinstance(value, dict):
                problem = f"must have at most {bound} entries, not {len(value)}"
            else:
                problem = f"must have a length of at most {bound}, but it is {describe(value)}"
            raise Refused(problem, INVALID_VALUE)

        return core_schema.with_info_before_validator_function(check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        shown = handler(schema)
        return {**shown, _LENGTHS[handler.resolve_ref_schema(shown)["type"]]: self.shown}


class ValueWithin(_Within):
    """Bounds a number."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def check(value: int, info: ValidationInfo) -> int:
            bound = self.bound(info)
            if value > bound:
                raise Refused(
                    f"must be at most {bound}, but it is {describe(value)}", INVALID_VALUE
                )
            return value

        return core_schema.with_info_after_validator_function(check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "maximum": self.shown}
