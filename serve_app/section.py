"""What all sections of the configuration are."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Percent = Annotated[int, Field(ge=0, le=100)]


class Section(BaseModel):
    """Its keys are known, and what is said stays said."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
