"""What a load must have shown, from a file, and whether it has. Pure."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench.locust.names import REFUSED

_Share = Annotated[float, Field(ge=0, le=1)]
_Positive = Annotated[float, Field(gt=0)]


class Figures(Protocol):
    """What Locust knows of one entry."""

    num_requests: int

    @property
    def fail_ratio(self) -> float: ...

    def get_response_time_percentile(self, percent: float) -> float: ...


class Objective(BaseModel):
    """Bounds of one entry of the report."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    entry: str
    """Its type and its name: `TTFT Chat`."""
    percentile: Annotated[float, Field(gt=0, le=100)] | None = None
    limit_ms: _Positive | None = None
    """Most that the percentile may be."""
    at_least: _Positive | None = None
    """Least that it may be: for tokens a second."""
    failure_share: _Share | None = None
    """Most of its requests that may fail."""
    refused_share: _Share | None = None
    """Most of what was sent that may be refused."""

    @model_validator(mode="after")
    def _bounds_something(self) -> "Objective":
        if (self.percentile is None) != (self.limit_ms is None and self.at_least is None):
            raise ValueError("percentile goes with limit_ms or at_least")
        if self.percentile is None and self.failure_share is None and self.refused_share is None:
            raise ValueError("it bounds nothing")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    objectives: Annotated[list[Objective], Field(min_length=1)]


@dataclass(frozen=True)
class Verdict:
    """Whether one bound held."""

    held: bool
    said: str

    def __str__(self) -> str:
        return f"SLO {'held    ' if self.held else 'BREACHED'}  {self.said}"


def read(path: Path) -> list[Objective]:
    """A YAML or TOML file. Raises ValueError of one line, or OSError."""
    text = path.read_text()
    try:
        content = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
        return _File.model_validate(content).objectives
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(f"{path}: {where}: {first['msg']}") from None
    except (ValueError, yaml.YAMLError) as exc:
        raise ValueError(f"{path}: {' '.join(str(exc).split())}") from None


def judge(objectives: Sequence[Objective], entries: Mapping[str, Figures]) -> list[Verdict]:
    """One verdict for each bound; `entries` by type and name. What nobody measured is a breach."""
    return [verdict for objective in objectives for verdict in _verdicts(objective, entries)]


def _verdicts(wanted: Objective, entries: Mapping[str, Figures]) -> Iterator[Verdict]:
    found = entries.get(wanted.entry)
    if found is None or not found.num_requests:
        yield Verdict(False, f"{wanted.entry}: nothing measured")
        return
    if wanted.percentile is not None:
        value = found.get_response_time_percentile(wanted.percentile / 100)
        what = f"{wanted.entry} p{wanted.percentile:g}"
        if wanted.limit_ms is not None:
            held = value <= wanted.limit_ms
            yield Verdict(held, f"{what} {value:g} ms, at most {wanted.limit_ms:g} ms")
        if wanted.at_least is not None:
            yield Verdict(
                value >= wanted.at_least, f"{what} {value:g}, at least {wanted.at_least:g}"
            )
    if wanted.failure_share is not None:
        yield _share(wanted.entry, "failed", found.fail_ratio, wanted.failure_share)
    if wanted.refused_share is not None:
        refused = entries.get(f"{REFUSED} {wanted.entry.partition(' ')[2]}")
        times = refused.num_requests if refused else 0
        share = times / (times + found.num_requests)
        yield _share(wanted.entry, "refused", share, wanted.refused_share)


def _share(entry: str, what: str, share: float, most: float) -> Verdict:
    return Verdict(share <= most, f"{entry} {what} {share:.2%}, at most {most:.2%}")
