"""How many of each kind of user there are, in proportion. Pure."""

from collections.abc import Mapping

KINDS = ("chat", "completion", "longcontext", "embeddings", "batch", "abusive")

_EVERYDAY = {"chat": 8.0, "completion": 4.0, "embeddings": 2.0, "longcontext": 1.0, "batch": 1.0}
EVERYDAY = "everyday"
MIXES: Mapping[str, Mapping[str, float]] = {
    EVERYDAY: _EVERYDAY,
    "interactive": {"chat": 2.0, "completion": 1.0},
    "hostile": {**_EVERYDAY, "abusive": 2.0},
}


def parse(text: str) -> Mapping[str, float]:
    """A name, or `chat=4,completion=2`: the weight of each kind. Raises ValueError."""
    if text in MIXES:
        return MIXES[text]
    mix = {}
    for part in text.split(","):
        kind, is_given, weight = part.strip().partition("=")
        if kind not in KINDS or not is_given:
            raise ValueError(
                f"{part.strip()!r} is neither of {', '.join(MIXES)}"
                f" nor KIND=WEIGHT with a kind of {', '.join(KINDS)}"
            )
        mix[kind] = float(weight)
        if not 0 <= mix[kind] < float("inf"):
            raise ValueError(f"a weight of {weight}")
    if not any(mix.values()):
        raise ValueError("every weight is 0")
    return mix


def text(mix: Mapping[str, float]) -> str:
    """What `parse` makes the same mix of."""
    return ",".join(f"{kind}={weight:g}" for kind, weight in mix.items())
