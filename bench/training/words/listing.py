"""Lists of words, written to be read: words between spaces, names between commas, lines."""


def words(text: str) -> list[str]:
    return text.split()


def names(text: str) -> list[str]:
    """What stands between commas: `New York` is one."""
    return [name.strip() for name in text.replace("\n", " ").split(",")]


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]
