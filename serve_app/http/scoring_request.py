"""The bodies of `POST /score` and `POST /rerank`; both are vLLM's."""

from types import MappingProxyType
from typing import Annotated, ClassVar, NamedTuple, Self

from pydantic import Field, model_validator

from serve_app.http.fields import Length, OneOrMany, Quick
from serve_app.http.limiting import LengthWithin
from serve_app.http.openapi_requests import Rules, absent, both, either, given
from serve_app.http.parsing import INVALID_VALUE, MISSING_PARAMETER, Refused, never
from serve_app.http.pooling_request import PoolingRequest

Texts = Annotated[Quick[str], Field(min_length=1), LengthWithin("inputs"), OneOrMany()]


class Names(NamedTuple):
    """Of the two fields that hold the texts."""

    first: str
    second: str


_NAMES = (
    Names("text_1", "text_2"),
    Names("queries", "documents"),
    Names("queries", "items"),
    Names("data_1", "data_2"),
)
_FIELDS = {name for names in _NAMES for name in names}


class ScoringRequest(PoolingRequest):
    """What both share. The texts of a pair are a query and a document."""

    unsupported = MappingProxyType(
        {**PoolingRequest.unsupported, **never("chat_template_kwargs instruction")}
    )

    max_tokens_per_query: Length = 0
    """Longer queries are cut; 0 cuts none."""
    max_tokens_per_doc: Length = 0


class ScoreRequest(ScoringRequest):
    """A body of `POST /score`: one text against many, or as many against as many."""

    rules: ClassVar[Rules] = (
        either(*(both(given(*names), absent(*sorted(_FIELDS - {*names}))) for names in _NAMES)),
    )

    text_1: Texts | None = None
    text_2: Texts | None = None
    queries: Texts | None = None
    documents: Texts | None = None
    items: Texts | None = None
    data_1: Texts | None = None
    data_2: Texts | None = None

    @property
    def names(self) -> Names:
        """By what names the texts have come."""
        return next(names for names in _NAMES if self._given() == set(names))

    @property
    def texts(self) -> tuple[list[str], list[str]]:
        """The first and the second texts."""
        first, second = self.names
        return getattr(self, first), getattr(self, second)

    def _given(self) -> set[str]:
        return {name for name in _FIELDS if getattr(self, name) is not None}

    @model_validator(mode="after")
    def _texts_are_pairs(self) -> Self:
        given = self._given()
        begun = [names for names in _NAMES if given <= set(names)]
        if not begun:
            first = next(names for names in _NAMES if given & set(names))
            stray = min(given - set(first))
            raise Refused(
                f"must not be given beside '{min(given & set(first))}'", INVALID_VALUE, field=stray
            )
        if len(given) < 2:
            missing = next(name for name in begun[0] if name not in given)
            raise Refused("is required", MISSING_PARAMETER, field=missing)
        first_texts, second_texts = self.texts
        if len(first_texts) not in (1, len(second_texts)):
            first_name, second_name = self.names
            raise Refused(
                f"must have {len(first_texts)} texts, as '{first_name}' has, or that has to be one",
                INVALID_VALUE,
                field=second_name,
            )
        return self


class RerankRequest(ScoringRequest):
    """A body of `POST /rerank`."""

    query: str
    documents: Texts
    top_n: Length = 0
    """How many documents to tell, the best first; 0 tells all."""
