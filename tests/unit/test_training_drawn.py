"""How examples are sorted, and names drawn."""

from random import Random

from bench.training import drawn
from bench.training.drawn import Drawn
from bench.training.example import Example
from bench.training.naming import Naming
from bench.training.split import is_held_out
from bench.training.words import names


def numbered(random: Random, made_up: float) -> Drawn:
    number = str(random.randrange(500))
    message = {"role": "user", "content": number}
    return Drawn(Example("numbers", [message], number), (("number", number),))


def test_what_is_kept_out_is_only_drawn_for_evaluation() -> None:
    random = Random(1)
    for _ in range(300):
        assert not is_held_out("number", drawn.taught(numbered, random).answer)
        assert is_held_out("number", drawn.held_out(numbered, random).answer)


def test_some_examples_follow_an_earlier_exchange_that_is_taught() -> None:
    random = Random(2)
    examples = [drawn.held_out(numbered, random) for _ in range(500)]
    after = [example.messages for example in examples if len(example.messages) > 1]
    assert 10 < len(after) < 60
    for earlier, answer, asked in after:
        assert earlier["content"] == answer["content"]
        assert not is_held_out("number", answer["content"])
        assert is_held_out("number", asked["content"])


def test_no_name_is_drawn_twice() -> None:
    naming = Naming(Random(3), 0.5)
    names = [naming.first_name() for _ in range(150)]
    assert len(set(names)) == 150


def test_half_of_the_names_are_made_up_when_half_is_asked_for() -> None:
    drawn_names = [Naming(Random(seed), 0.5).first_name() for seed in range(400)]
    known = sum(name in names.FIRST_NAMES for name in drawn_names)
    assert 160 < known < 240


def test_every_word_of_a_name_can_be_kept_out() -> None:
    naming = Naming(Random(4), 0.0)
    person = naming.person()
    assert [word for _, word in naming.parts] == person.split()
