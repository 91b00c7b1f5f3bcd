"""What a pooling model takes in, as token ids: texts and pairs of texts, cut to length where asked.

The tokenizer's own truncation is a state of it that all its users share, so nothing here sets it:
what is too long is cut between tokenizing and adding the special tokens, as the tokenizer would.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from deployments.errors import BadRequest

Side = Literal["left", "right"]
Text = str | list[int]
"""Tokens, where a client has made them itself."""


@dataclass(frozen=True)
class Cut:
    """How long an input may be, special tokens included; what is longer is cut.

    `right` keeps its beginning and `left` its end, whatever tokens are there. None cuts where the
    tokenizer would, and keeps all special tokens.
    """

    length: int
    side: Side | None = None


class Encoded(NamedTuple):
    """One input."""

    token_ids: list[int]
    second_text_at: int | None = None
    """Where the second text of a pair begins, for a model that is to be told."""


class InputEncoder:
    """A tokenizer's work for pooling. It may run in a thread."""

    def __init__(self, tokenizer: Any) -> None:
        """`tokenizer` is one of transformers'; only those written in Rust take texts here."""
        self._side: Side = tokenizer.truncation_side
        self._tells_texts_apart = "token_type_ids" in tokenizer.model_input_names
        self._tokenizer = getattr(tokenizer, "backend_tokenizer", None)
        if self._tokenizer is not None:  # some models bring a length of their own
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()

    def texts(
        self, texts: Sequence[Text], cut: Cut | None = None, *, add_special_tokens: bool = True
    ) -> list[Encoded]:
        """One input for each text."""
        words = iter(self._encode([text for text in texts if isinstance(text, str)]))
        return [
            self._input(next(words), None, cut, add_special_tokens)
            if isinstance(text, str)
            else Encoded(text if cut is None else self._slice(text, cut))
            for text in texts
        ]

    def pairs(self, pairs: Sequence[tuple[str, str]], cut: Cut | None = None) -> list[Encoded]:
        """One input for each pair, put together as transformers does: nothing is no second text."""
        firsts = self._encode([first for first, _ in pairs])
        seconds = iter(self._encode([second for _, second in pairs if second]))
        return [
            self._input(encoding, next(seconds) if second else None, cut, True)
            for encoding, (_, second) in zip(firsts, pairs, strict=True)
        ]

    def shortened(self, text: str, limit: int) -> str:
        """The beginning of `text`, so many tokens at the most."""
        (encoding,) = self._encode([text])
        return text if len(encoding) <= limit else text[: encoding.offsets[limit - 1][1]]

    def _encode(self, texts: list[str]) -> list[Any]:
        if not texts:
            return []
        if self._tokenizer is None:
            raise BadRequest("This model's tokenizer takes no texts here; send tokens.")
        encodings: list[Any] = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return encodings

    def _input(self, first: Any, second: Any, cut: Cut | None, add_special_tokens: bool) -> Encoded:
        assert self._tokenizer is not None
        if cut is not None and cut.side is None:
            special = self._tokenizer.num_special_tokens_to_add(second is not None)
            self._fit(first, second, max(0, cut.length - special * add_special_tokens))
        whole = self._tokenizer.post_process(first, second, add_special_tokens)
        token_ids, texts = whole.ids, whole.type_ids
        if cut is not None:
            token_ids, texts = self._slice(token_ids, cut), self._slice(texts, cut)
        apart = second is not None and self._tells_texts_apart and 1 in texts
        return Encoded(token_ids, texts.index(1) if apart else None)

    def _fit(self, first: Any, second: Any, room: int) -> None:
        """Of a pair the longer text is cut, or both, to what each has of one half of the room."""
        if second is None:
            first.truncate(room, direction=self._side)
        elif len(first) + len(second) > room:
            shorter, longer = (second, first) if len(first) > len(second) else (first, second)
            kept = min(len(shorter), room // 2)
            shorter.truncate(kept, direction=self._side)
            longer.truncate(room - kept, direction=self._side)

    def _slice(self, token_ids: list[int], cut: Cut) -> list[int]:
        if (cut.side or self._side) == "left":
            return token_ids[max(0, len(token_ids) - cut.length) :]
        return token_ids[: cut.length]
