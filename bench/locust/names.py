"""What the entries of a report are called: a type, as here, and a kind of user."""

ANSWER = "answer"
"""Whole answers and failures; the only type that Locust's Aggregated is made of."""
TTFT = "TTFT"
ITL = "ITL"
TOKENS_S = "tok/s"
"""Its "response times" are tokens a second."""
REFUSED = "refused"


def label(kind: str, name: str) -> str:
    """An entry as SLO files name it."""
    return f"{kind} {name}"
