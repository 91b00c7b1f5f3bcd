"""A tool that a client may offer, and how people ask for what it does.

In a request `{city}` and the like are filled in by what `fills` says of the parameter; the value in
the call is the one in the request. A request without an optional parameter's slot leaves it out.
"""

from dataclasses import dataclass

from bench.training.words.listing import lines, words


@dataclass(frozen=True)
class Parameter:
    """`slot` stands in requests; `names` are what clients call it."""

    slot: str
    names: tuple[str, ...]
    kind: str = "string"
    fills: str = ""
    choices: tuple[str, ...] = ()
    required: bool = True


@dataclass(frozen=True)
class Tool:
    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    requests: tuple[str, ...]


def tool(names: str, descriptions: str, parameters: tuple[Parameter, ...], requests: str) -> Tool:
    """Names between spaces, descriptions and requests a line each."""
    return Tool(tuple(words(names)), tuple(lines(descriptions)), parameters, tuple(lines(requests)))


CITY = Parameter("city", ("city", "location", "place"), fills="city")
