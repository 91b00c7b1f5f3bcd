"""What was said, in pieces and at once."""

import pytest

from deployments.speech import CallPiece, Said, joined, unsaid

F, G = CallPiece(0, '{"a": 1}', "f"), CallPiece(1, "{}", "g")


def test_what_comes_next_of_a_call_is_joined_to_it() -> None:
    said = Said()
    for piece in (CallPiece(0, "", "f"), CallPiece(0, "{"), CallPiece(0, "}"), G):
        said.call(piece)
    assert said.calls == [CallPiece(0, "{}", "f"), G]


def test_joining_leaves_the_pieces_as_they_were() -> None:
    first = CallPiece(0, "{", "f")
    said = Said()
    said.call(first)
    said.call(CallPiece(0, "}"))
    assert first.arguments == "{"


def test_what_was_said_next_adds_up() -> None:
    said = Said("Hm", "Let", [CallPiece(0, "{", "f")])
    said.add(Said(".", " me", [CallPiece(0, "}"), G]))
    assert said == Said("Hm.", "Let me", [CallPiece(0, "{}", "f"), G])


def test_pieces_are_joined_as_they_would_be_one_by_one() -> None:
    pieces = [Said("Hm", calls=[CallPiece(0, "", "f", "id")]), Said(".", "Let"), Said("", " me")]
    pieces += [Said(calls=[CallPiece(0, "{")]), Said(calls=[G, CallPiece(0, "}")])]
    assert joined(pieces) == Said("Hm.", "Let me", [CallPiece(0, "{}", "f", "id"), G])
    assert pieces[0].calls == [CallPiece(0, "", "f", "id")]
    assert joined([]) == Said()


def test_nothing_is_said_where_all_is_empty() -> None:
    assert not Said()
    assert Said(content=" ")
    assert Said(calls=[F])


class TestUnsaid:
    @pytest.mark.parametrize(
        ("said", "whole", "rest"),
        [
            (Said(), Said(), Said()),
            (Said(content="Hello"), Said(content="Hello there"), Said(content=" there")),
            (Said(), Said(calls=[F, G]), Said(calls=[F, G])),
            (Said(calls=[F]), Said(calls=[F, G]), Said(calls=[G])),
            (
                Said(calls=[CallPiece(0, '{"a"', "f")]),
                Said(calls=[F]),
                Said(calls=[CallPiece(0, ": 1}")]),
            ),
            (Said(calls=[F, G]), Said(calls=[F, G]), Said()),
            (Said(calls=[F]), Said("", "Let me", [F]), Said(content="Let me")),
            (Said("Hm", "Ye"), Said("Hm", "Yes"), Said(content="s")),
        ],
        ids=["nothing", "content", "calls", "a-call", "arguments", "all", "before", "thoughts"],
    )
    def test_is_what_the_whole_has_beyond_the_pieces(
        self, said: Said, whole: Said, rest: Said
    ) -> None:
        assert unsaid(said, whole) == rest

    @pytest.mark.parametrize(
        ("said", "whole"),
        [
            (Said(content="Hi"), Said(content="Hello")),
            (Said(calls=[CallPiece(0, '{"a":1}', "f")]), Said(calls=[F])),
            (Said(calls=[F]), Said(content='{"a": 1}')),
            (Said("Hm"), Said(content="Hm")),
        ],
        ids=["other-text", "other-spaces", "a-call-that-was-none", "a-thought-that-was-none"],
    )
    def test_takes_nothing_back(self, said: Said, whole: Said) -> None:
        assert unsaid(said, whole) == Said()
