"""The little of English grammar that templates need."""


def capital(text: str) -> str:
    """The text as the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def small(text: str) -> str:
    """The text without the capital that begins it."""
    return text[:1].lower() + text[1:]


def article(text: str) -> str:
    """The text with `a` or `an` before it."""
    return f"{'an' if text[0].lower() in 'aeiou' else 'a'} {text}"
