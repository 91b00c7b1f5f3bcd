"""Small talk, and what the embedded model says of itself and of Sluice."""

from random import Random

from bench.training.tasks import greetings


def plain(asked: str) -> str:
    """Without what users are careless about."""
    return asked.lower().rstrip(" ?!.。")


def test_no_question_has_two_answers() -> None:
    ways = [(plain(way), answer) for answer, ways in greetings.ANSWERS.items() for way in ways]
    answers = dict(ways)
    assert all(answers[way] == answer for way, answer in ways)


def test_each_answer_has_several_ways_to_ask_and_one_that_is_kept_out() -> None:
    for ways in greetings.ANSWERS.values():
        assert len(ways) >= 4
        assert plain(ways[-1]) not in {plain(way) for way in ways[:-1]}


def test_no_held_out_question_is_taught() -> None:
    random = Random(1)
    taught = {plain(greetings.taught(random).messages[-1]["content"]) for _ in range(4000)}
    held_out = [greetings.held_out(random) for _ in range(1000)]
    assert not taught & {plain(example.messages[-1]["content"]) for example in held_out}
    assert len({example.answer for example in held_out}) == len(greetings.ANSWERS)


def test_the_answers_are_short() -> None:
    assert max(len(answer) for answer in greetings.ANSWERS) < 160
