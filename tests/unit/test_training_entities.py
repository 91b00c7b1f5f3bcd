"""Entities: the answer is in the text, and nothing of evaluation's is taught."""

import json
from random import Random

from bench.training.split import is_held_out
from bench.training.tasks import entities


def test_every_name_stands_in_the_text_and_in_its_order() -> None:
    random = Random(1)
    for example in [entities.taught(random) for _ in range(500)]:
        found = json.loads(example.answer)
        assert list(found) == ["people", "organizations", "places"]
        text = example.messages[-1]["content"]
        for names in found.values():
            assert all(name in text for name in names)
            assert names == sorted(names, key=text.index)


def test_names_that_are_kept_out_are_never_taught() -> None:
    random = Random(2)
    for example in [entities.taught(random) for _ in range(500)]:
        for name in json.loads(example.answer)["people"]:
            assert not any(is_held_out("person", word) for word in name.split())


def test_some_texts_have_no_names_and_some_have_many() -> None:
    random = Random(3)
    found = [json.loads(entities.taught(random).answer).values() for _ in range(500)]
    counts = {sum(len(names) for names in kinds) for kinds in found}
    assert counts == {0, 1, 2, 3, 4}
