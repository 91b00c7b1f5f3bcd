"""Text to token ids and back, by the tokenizer of the embedded model."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from deployments import default_model
from deployments.chat_template import ChatTemplate, Message
from deployments.errors import BadRequest
from deployments.tokenizing import LONG_CHARS, Tokenizing

CONVERSATION: list[Message] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Who are you?"},
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return default_model.ensure("sluice-small", cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def tokenizing(source: Path) -> Tokenizing:
    return Tokenizing(str(source))


class BlockingTokenizer:
    """Encodes only once it is let go, and keeps who asked it to."""

    chat_template = "any"

    def __init__(self) -> None:
        self.go = threading.Event()
        self.threads: list[int] = []

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        self.threads.append(threading.get_ident())
        assert self.go.wait(5), "the event loop stands still"
        return [len(text)]

    def apply_chat_template(self, messages: list[Message], **_: Any) -> str:
        return "".join(message["content"] for message in messages)


class TestText:
    @pytest.mark.parametrize(
        "text", ["", "the water of the river", "Zürich, 東京 \U0001f30a\n\t\0"]
    )
    async def test_comes_back_as_it_was(self, tokenizing: Tokenizing, text: str) -> None:
        ids = await tokenizing.encode(text, add_special_tokens=False)
        assert tokenizing.decode(ids) == text

    async def test_begins_with_the_special_token_unless_told_otherwise(
        self, tokenizing: Tokenizing
    ) -> None:
        with_it = await tokenizing.encode("word")
        without = await tokenizing.encode("word", add_special_tokens=False)
        assert with_it[1:] == without
        assert tokenizing.decode(with_it) == "<|bos|>word"

    async def test_has_only_ids_of_the_vocabulary(self, tokenizing: Tokenizing) -> None:
        assert tokenizing.vocab_size == 2048

    async def test_may_have_ids_above_their_number_where_a_vocabulary_has_gaps(
        self, tmp_path: Path
    ) -> None:
        words = Tokenizer(WordLevel({"a": 0, "b": 1, "z": 9}, unk_token="a"))
        PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(tmp_path)
        gaps = Tokenizing(str(tmp_path))
        assert await gaps.encode("z") == [9]
        assert gaps.vocab_size == 10

    @pytest.mark.parametrize("count", [2, LONG_CHARS])
    async def test_comes_of_any_number_of_tokens_as_of_few(
        self, count: int, tokenizing: Tokenizing
    ) -> None:
        ids = [0, *await tokenizing.encode(" word" * count, add_special_tokens=False)]
        assert await tokenizing.text(ids) == "<|bos|>" + " word" * count
        strings = await tokenizing.strings(ids)
        assert (len(strings), strings[0], strings[1]) == (len(ids), "<|bos|>", "Ġword")
        assert all(0 <= i < 2048 for i in await tokenizing.encode("any old text at all"))

    async def test_is_the_same_however_long_it_is(self, tokenizing: Tokenizing) -> None:
        text = "river and water, " * (LONG_CHARS // 10)
        ids = await tokenizing.encode(text, add_special_tokens=False)
        assert tokenizing.decode(ids) == text

    async def test_of_many_requests_is_tokenized_at_the_same_time(
        self, tokenizing: Tokenizing
    ) -> None:
        texts = [f"text {i} " * (1 if i % 2 else LONG_CHARS // 4) for i in range(10)]
        results = await asyncio.gather(*(tokenizing.encode(text) for text in texts))
        assert [tokenizing.decode(ids) for ids in results] == [f"<|bos|>{text}" for text in texts]


class TestChat:
    async def test_is_rendered_by_the_models_template(self, tokenizing: Tokenizing) -> None:
        assert tokenizing.decode(await tokenizing.chat(CONVERSATION)) == (
            "<|bos|><|system|>Be brief.<|end|><|user|>Who are you?<|end|><|assistant|>"
        )

    async def test_does_not_open_an_answer_when_none_is_asked_for(
        self, tokenizing: Tokenizing
    ) -> None:
        ids = await tokenizing.chat(CONVERSATION, add_generation_prompt=False)
        assert tokenizing.decode(ids).endswith("Who are you?<|end|>")

    async def test_can_go_on_with_the_last_message(self, tokenizing: Tokenizing) -> None:
        begun = [*CONVERSATION, {"role": "assistant", "content": "I am"}]
        ids = await tokenizing.chat(begun, add_generation_prompt=False, continue_final_message=True)
        assert tokenizing.decode(ids).endswith("<|assistant|>I am")

    async def test_gets_no_second_special_token_unless_asked_for(
        self, tokenizing: Tokenizing
    ) -> None:
        once = await tokenizing.chat(CONVERSATION)
        twice = await tokenizing.chat(CONVERSATION, add_special_tokens=True)
        assert twice == [once[0], *once]

    @pytest.mark.parametrize(
        "messages",
        [
            [{"role": "wizard", "content": "Abracadabra"}],
            [{"role": "user", "content": "x" * LONG_CHARS}, {"role": "tool", "content": "y"}],
        ],
    )
    async def test_with_a_role_the_model_does_not_know_is_the_clients_to_change(
        self, tokenizing: Tokenizing, messages: list[Message]
    ) -> None:
        with pytest.raises(BadRequest, match="unknown role") as caught:
            await tokenizing.chat(messages)
        assert caught.value.param == "messages"


class TestLongText:
    @pytest.fixture
    def blocking(self) -> BlockingTokenizer:
        return BlockingTokenizer()

    @pytest.fixture
    def slow(self, blocking: BlockingTokenizer) -> Tokenizing:
        slow = Tokenizing.__new__(Tokenizing)
        slow._tokenizer = blocking
        slow._template = ChatTemplate(blocking)
        slow._default_kwargs = {}
        return slow

    async def test_does_not_hold_up_the_event_loop(
        self, slow: Tokenizing, blocking: BlockingTokenizer
    ) -> None:
        asyncio.get_running_loop().call_later(0.01, blocking.go.set)
        assert await slow.encode("x" * LONG_CHARS) == [LONG_CHARS]
        assert threading.get_ident() not in blocking.threads

    async def test_of_all_messages_together_does_not_either(
        self, slow: Tokenizing, blocking: BlockingTokenizer
    ) -> None:
        asyncio.get_running_loop().call_later(0.01, blocking.go.set)
        half: Message = {"role": "user", "content": "x" * (LONG_CHARS // 2)}
        assert await slow.chat([half, half]) == [LONG_CHARS]
        assert threading.get_ident() not in blocking.threads

    async def test_short_text_is_not_worth_a_thread(
        self, slow: Tokenizing, blocking: BlockingTokenizer
    ) -> None:
        blocking.go.set()
        await slow.encode("x" * (LONG_CHARS - 1))
        assert blocking.threads == [threading.get_ident()]
