"""What the embedded model is taught not to know."""

from random import Random

from bench.training.tasks import greetings, unknown
from bench.training.words.outside import ASKED


def asked(text: str) -> str:
    """Without what users are careless about."""
    return text.lower().rstrip("?!.")


def test_no_held_out_question_is_taught() -> None:
    random = Random(1)
    taught = {asked(unknown.taught(random).messages[-1]["content"]) for _ in range(5000)}
    held_out = {asked(unknown.held_out(random).messages[-1]["content"]) for _ in range(1000)}
    assert not taught & held_out


def test_some_ways_to_ask_are_not_taught_at_all_and_others_with_new_words() -> None:
    random = Random(2)
    drawn = [unknown.kept_out(random) for _ in range(500)]
    assert all(one.held_out for one in drawn)
    ways = {one.parts[0][0] for one in drawn}
    untaught = {way for way in ASKED if unknown.Drawn("", ((way,),)).held_out}
    assert untaught & ways
    assert set(ASKED) & ways - untaught


def test_all_that_is_unknown_has_one_answer() -> None:
    random = Random(3)
    assert {unknown.taught(random).answer for _ in range(100)} == {"I don't know."}


def test_nothing_that_has_an_answer_is_unknown() -> None:
    random = Random(4)
    answered = {asked(way) for ways in greetings.ANSWERS.values() for way in ways}
    unknowns = {asked(unknown.taught(random).messages[-1]["content"]) for _ in range(5000)}
    assert not answered & (unknowns | {asked(way) for way in ASKED})
