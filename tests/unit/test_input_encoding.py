"""Texts and pairs as inputs, beside what transformers itself makes of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.errors import BadRequest
from deployments.input_encoding import Cut, Encoded, InputEncoder, Side
from tests.unit.pooling_fixtures import CLS, SEP, ids, tokenizer, tokenizing, whole

ENCODER = InputEncoder(tokenizer())
THEIRS = tokenizer()
TEXTS = st.text("abcdefgh", min_size=1, max_size=30)
LENGTHS = st.integers(3, 40)


@given(text=TEXTS, length=LENGTHS)
def test_a_text_is_cut_as_transformers_cuts_it(text: str, length: int) -> None:
    theirs = THEIRS(text, truncation=True, max_length=length)["input_ids"]
    assert ENCODER.texts([text], Cut(length)) == [Encoded(theirs)]


@given(first=TEXTS, second=TEXTS | st.just(""), length=LENGTHS)
def test_a_pair_is_cut_as_transformers_cuts_it(first: str, second: str, length: int) -> None:
    theirs = THEIRS(first, second, truncation=True, max_length=length)
    types = theirs["token_type_ids"]
    (mine,) = ENCODER.pairs([(first, second)], Cut(length))
    assert mine == Encoded(theirs["input_ids"], types.index(1) if 1 in types else None)


@pytest.mark.parametrize(
    ("side", "kept"),
    [("left", [ord("c"), SEP]), ("right", [CLS, ord("a")])],
)
def test_a_side_that_is_asked_for_spares_no_special_token(side: Side, kept: list[int]) -> None:
    assert ENCODER.texts(["abc"], Cut(2, side)) == [Encoded(kept)]


def test_tokens_are_taken_as_they_are_among_texts() -> None:
    mixed = ENCODER.texts(["a", [7, 8], "b"])
    assert [one.token_ids for one in mixed] == [whole("a"), [7, 8], whole("b")]


@pytest.mark.parametrize(
    ("cut", "kept"), [(Cut(2), [5, 6]), (Cut(2, "left"), [6, 7]), (Cut(9, "left"), [5, 6, 7])]
)
def test_tokens_are_cut_too(cut: Cut, kept: list[int]) -> None:
    assert ENCODER.texts([[5, 6, 7]], cut) == [Encoded(kept)]


def test_special_tokens_can_be_left_out() -> None:
    assert ENCODER.texts(["abc"], Cut(2), add_special_tokens=False) == [Encoded(ids("ab"))]


@pytest.mark.parametrize(("limit", "kept"), [(1, "a"), (3, "abc"), (4, "abcd"), (9, "abcd")])
def test_a_text_is_shortened_to_so_many_tokens(limit: int, kept: str) -> None:
    assert ENCODER.shortened("abcd", limit) == kept


def test_a_models_own_length_does_not_cut_in_silence() -> None:
    theirs = tokenizer()
    theirs.backend_tokenizer.enable_truncation(4)
    theirs.backend_tokenizer.enable_padding(length=20)
    assert InputEncoder(theirs).texts(["abcdef"]) == [Encoded(whole("abcdef"))]


def test_where_the_second_text_begins_is_told_to_models_that_want_it_only() -> None:
    theirs = tokenizer()
    theirs.model_input_names = ["input_ids", "attention_mask"]
    assert InputEncoder(theirs).pairs([("ab", "c")]) == [Encoded(whole("ab", "c"))]
    assert ENCODER.pairs([("ab", "c")]) == [Encoded(whole("ab", "c"), second_text_at=4)]


def test_a_tokenizer_in_python_takes_tokens_only() -> None:
    class InPython:
        truncation_side = "right"
        model_input_names = ("input_ids",)

    encoder = InputEncoder(InPython())
    assert encoder.texts([[5, 6]]) == [Encoded([5, 6])]
    with pytest.raises(BadRequest, match="send tokens"):
        encoder.texts(["a"])


@pytest.mark.parametrize("count", [1, 200], ids=["on the loop", "in a thread"])
async def test_many_texts_are_encoded_as_few_are(count: int) -> None:
    texts, pairs = ["ab"] * count, [("ab", "c")] * count
    assert await tokenizing().inputs(texts) == [Encoded(whole("ab"))] * count
    assert await tokenizing().pairs(pairs) == ENCODER.pairs(pairs)
    assert await tokenizing().shortened(texts, 1) == ["a"] * count
