"""What is true of every task, and of those in English: the seed decides, and evaluation is kept
apart."""

from random import Random
from types import ModuleType

import pytest

from bench.training import mixture
from bench.training.example import Example, Task
from bench.training.tasks import arithmetic, entities, questions, sentiment, summaries, tool_calls

TASKS = [sentiment, entities, questions, summaries, arithmetic, tool_calls]
DRAWS = 2_000

tasks = pytest.mark.parametrize("task", TASKS, ids=lambda task: str(task.NAME))


def asked(example: Example) -> str:
    """All that the model reads."""
    return repr((example.messages, example.tools))


@pytest.mark.parametrize("task", mixture.tasks().values(), ids=mixture.tasks())
def test_the_same_seed_draws_the_same_examples(task: Task) -> None:
    first, second = Random(3), Random(3)
    assert [task.taught(first) for _ in range(50)] == [task.taught(second) for _ in range(50)]
    assert [task.held_out(first) for _ in range(50)] == [task.held_out(second) for _ in range(50)]


@tasks
def test_nothing_that_is_held_out_is_taught(task: ModuleType) -> None:
    random = Random(5)
    taught = {asked(task.taught(random)) for _ in range(DRAWS)}
    held_out = {asked(task.held_out(random)) for _ in range(DRAWS)}
    assert not taught & held_out


@tasks
def test_held_out_examples_are_many(task: ModuleType) -> None:
    random = Random(7)
    assert len({asked(task.held_out(random)) for _ in range(500)}) > 400


@tasks
def test_every_example_names_its_task_and_ends_with_the_user_or_a_tool(task: ModuleType) -> None:
    random = Random(9)
    for example in [task.taught(random) for _ in range(200)]:
        assert example.task == task.NAME
        assert example.messages[-1]["role"] in {"user", "tool"}
        assert example.answer
        for message in example.messages:
            assert "{" not in message["content"] or message["role"] in {"assistant", "tool"}


@tasks
def test_the_same_question_has_one_answer(task: ModuleType) -> None:
    random = Random(11)
    answers: dict[str, str] = {}
    for draw in (task.taught, task.held_out):
        for example in [draw(random) for _ in range(DRAWS)]:
            assert answers.setdefault(asked(example), example.answer) == example.answer
