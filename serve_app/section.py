"""What all sections of the configuration are."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Its keys are known, and what is said stays said."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
