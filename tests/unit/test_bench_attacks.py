import itertools

import pytest

from bench.attack_list import Attack, attacks, launch
from serve_app.environment import any_free_port

ATTACKS = attacks("m", 1)


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_every_attack_is_the_same_each_time(attack: Attack) -> None:
    first, second = (list(itertools.islice(attack.pieces(), 3000)) for _ in range(2))
    assert first == second


def test_an_attack_on_nobody_has_no_answer() -> None:
    assert launch(("127.0.0.1", any_free_port()), ATTACKS[0]).status == 0
