"""Training: batches hold all that is taught, and the same seed gives the same model."""

import random
from collections.abc import Sequence

import pytest
import torch
from tokenizers import Tokenizer

from bench.training import batches, directory, plot, scoring, tokenizer
from bench.training.batches import Encoded
from bench.training.chat_text import prompt_of
from bench.training.example import Example
from bench.training.model import Llama
from bench.training.train import Course, Plan, train
from deployments.llama_layout import Shape

SHAPE = Shape(
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    vocab_size=272,
    max_position_embeddings=64,
)
PLAN = Plan(batch_tokens=256, looks=2, compiled=False)
ANSWERS = {"What barks?": "dog", "What purrs?": "cat", "What flies?": "bat"}


def example(question: str) -> Example:
    return Example("animals", [{"role": "user", "content": question}], ANSWERS[question])


@pytest.fixture(scope="module")
def trained_tokenizer() -> Tokenizer:
    return tokenizer.train(map(prompt_of, map(example, ANSWERS)), SHAPE.vocab_size)


@pytest.fixture(scope="module")
def chats(trained_tokenizer: Tokenizer) -> list[Encoded]:
    draw = random.Random(5)
    examples = (example(draw.choice(list(ANSWERS))) for _ in range(3000))
    return list(batches.conversations(examples, trained_tokenizer))


def test_an_answer_begins_behind_the_prompt_and_has_an_end(
    chats: Sequence[Encoded], trained_tokenizer: Tokenizer
) -> None:
    for chat in chats[:20]:
        [place] = chat.answers
        prompt, answer = list(chat.tokens[: place.start]), list(chat.tokens[place.start :])
        text = trained_tokenizer.decode(prompt, skip_special_tokens=False)
        assert text.endswith("<|end|><|assistant|>")
        said = trained_tokenizer.decode(answer, skip_special_tokens=False)
        assert said.removesuffix("<|end|>") in ANSWERS.values()


def test_all_that_was_answered_is_taught_and_the_last_answer_is_graded(
    trained_tokenizer: Tokenizer,
) -> None:
    first, last = "What barks?", "What flies?"
    earlier = [*example(first).messages, {"role": "assistant", "content": ANSWERS[first]}]
    talk = Example("animals", [*earlier, *example(last).messages], ANSWERS[last])
    [taught] = batches.conversations([talk], trained_tokenizer)
    [graded] = batches.exchanges([talk], trained_tokenizer)
    tokens = [taught.tokens[answer.start : answer.stop] for answer in taught.answers]
    said = [trained_tokenizer.decode(list(each)) for each in tokens]
    assert said == [ANSWERS[first], ANSWERS[last]]
    assert graded.tokens == taught.tokens
    assert graded.answers == taught.answers[-1:]


def test_every_chat_is_in_one_group_and_no_group_is_larger_than_asked(
    chats: Sequence[Encoded],
) -> None:
    groups = batches.grouped(chats, 256, random.Random(1))
    assert sum(map(len, groups)) == len(chats)
    made = [batches.batch(group, random.Random(1)) for group in groups]
    assert all(batch.tokens.numel() <= 256 for batch in made)
    answers = sum(len(answer) for chat in chats for answer in chat.answers)
    assert sum(len(batch.target) for batch in made) == answers
    for batch in made:
        assert torch.equal(batch.tokens.flatten()[batch.where + 1], batch.target)


def test_some_of_the_prompts_are_to_be_foretold_too(chats: Sequence[Encoded]) -> None:
    batch = batches.batch(chats[:9], random.Random(1), prompt_share=1.0)
    assert len(batch.target) == sum(len(chat.tokens) - 1 for chat in chats[:9])


def test_answers_count_by_the_root_of_their_length(chats: Sequence[Encoded]) -> None:
    batch = batches.batch(chats[:1], random.Random(1))
    [answer] = chats[0].answers
    count = len(answer)
    assert batch.weight.sum().item() == pytest.approx(count**0.5)


def trained(chats: Sequence[Encoded]) -> tuple[Llama, Course]:
    before = torch.get_num_threads()
    try:
        return train(SHAPE, PLAN, chats, chats[:30], seed=7, say=lambda _: None)
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(False)


def test_the_same_seed_gives_the_same_model_which_knows_what_it_was_taught(
    chats: Sequence[Encoded], trained_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("trained")
    (model, course), (again, _) = trained(chats), trained(chats)
    assert directory.write(path, model, trained_tokenizer) == directory.write(
        path, again, trained_tokenizer
    )
    assert course.losses[-1] < 0.5 * course.losses[0]
    assert scoring.right(model, chats[:60])[0] == {"animals": 1.0}
    plot.draw(course, path / "course.png", "a test")
    assert (path / "course.png").stat().st_size > 10_000


def test_an_answer_is_right_only_as_a_whole(chats: Sequence[Encoded]) -> None:
    torch.manual_seed(0)
    shares, loss = scoring.right(Llama(SHAPE), chats[:60])
    assert shares == {"animals": 0.0}
    assert loss == pytest.approx(torch.tensor(272.0).log().item(), abs=0.5)
