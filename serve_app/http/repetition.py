"""When generated text that goes round in circles ends; vLLM's `repetition_detection`."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from deployments.messages import Repetition
from serve_app.http.openapi_requests import Rules, both, either, false, given
from serve_app.http.parsing import INVALID_VALUE, Refused, StrictObject

_MAX_PATTERN, _MAX_COUNT = 128, 64
"""An engine looks for every pattern after every token."""

_Size = Annotated[int, Field(ge=0, le=_MAX_PATTERN)]


class RepetitionDetection(StrictObject):
    """A pattern of so many tokens that comes so many times in a row ends the text."""

    rules: ClassVar[Rules] = (
        either(
            false("max_pattern_size"),
            both(given("min_count"), {"properties": {"min_count": {"minimum": 2}}}),
        ),
    )

    max_pattern_size: _Size = 0
    """0: no pattern does."""
    min_pattern_size: _Size = 0
    """0 stands for 1."""
    min_count: Annotated[int, Field(ge=0, le=_MAX_COUNT)] = 0
    """At least 2, where a pattern may end the text."""

    @property
    def rule(self) -> Repetition | None:
        """The same for an engine; None where no pattern ends the text."""
        if not self.max_pattern_size:
            return None
        return Repetition(self.max_pattern_size, max(1, self.min_pattern_size), self.min_count)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.min_pattern_size > self.max_pattern_size:
            raise Refused(
                "must not exceed 'max_pattern_size'", INVALID_VALUE, field="min_pattern_size"
            )
        if self.max_pattern_size and self.min_count < 2:
            raise Refused("must be at least 2", INVALID_VALUE, field="min_count")
        return self
