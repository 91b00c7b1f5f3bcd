"""What a tenant has used of a model, in tokens."""


class Account:
    """Since the router replica began. A token is counted with an addition to `generated`."""

    __slots__ = ("cached", "generated", "prompt")

    def __init__(self) -> None:
        self.prompt = 0
        """Of prompts that engines have taken in."""
        self.cached = 0
        """Those of them that an engine had cached."""
        self.generated = 0
