"""Text to token ids and back, and chat messages to a prompt, by the model's own tokenizer."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from deployments import default_model
from deployments.chat_template import ChatTemplate, ContentFormat, Message
from deployments.input_encoding import Cut, Encoded, InputEncoder, Text
from deployments.speech import Parsing

LONG_CHARS = 16_384
"""Longer text is tokenized in a thread: the tokenizer lets go of the interpreter meanwhile."""
_A_TEXT = 256
"""What each of many texts costs beside its length, in characters."""
_A_MESSAGE = 64
"""What a template makes of each message costs as much, beside its length."""

_CHARS_A_TOKEN = 4

T = TypeVar("T")


class Tokenizing:
    """A model's tokenizer and chat template, for use on an event loop."""

    def __init__(
        self,
        source: str,
        revision: str | None = None,
        *,
        chat_template: str | None = None,
        content_format: ContentFormat = "auto",
        default_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        from transformers import AutoTokenizer

        self._model = default_model.locate(source)
        self._revision = revision
        self._tokenizer = AutoTokenizer.from_pretrained(self._model, revision=revision)
        # Not their number: some vocabularies have gaps.
        self.vocab_size = 1 + max(self._tokenizer.get_vocab().values())
        """All token ids that the tokenizer knows are below it."""
        self._inputs = InputEncoder(self._tokenizer)
        self._template = ChatTemplate(self._tokenizer, chat_template, content_format)
        self._default_kwargs = default_kwargs or {}

    def parsing(self, **parsers: Any) -> Parsing:
        """The model's parsers, by the names that vLLM has for them.

        It takes seconds: vLLM is imported. Raises ValueError for parsers that are not for it.
        """
        from transformers import PretrainedConfig

        from deployments.vllm_parsing import VllmParsing

        config, _ = PretrainedConfig.get_config_dict(self._model, revision=self._revision)
        return VllmParsing(self._tokenizer, config, **parsers)

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, str]] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        add_special_tokens: bool = False,
    ) -> list[int]:
        """The prompt for `messages`; raises BadRequest when the template will not have them."""

        def render() -> list[int]:
            text = self._template.render(
                messages,
                tools=tools,
                documents=documents,
                kwargs=self.all_kwargs(kwargs or {}),
                add_generation_prompt=add_generation_prompt,
                continue_final_message=continue_final_message,
            )
            return self._encode(text, add_special_tokens)

        # What a message has beside its content counts as well, and so does that it is one.
        length = sum(len(str(message)) + _A_MESSAGE for message in messages)
        length += sum(len(str(given)) for given in (tools, documents, kwargs) if given)
        return await _off_the_loop_if_long(length, render)

    def all_kwargs(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The chat template's variables, those of the model's configuration included."""
        return {**self._default_kwargs, **given}

    def mentions(self, variable: str) -> bool:
        """Whether the chat template may make something of a variable."""
        return self._template.mentions(variable)

    async def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """The token ids of `text`."""
        return await _off_the_loop_if_long(
            len(text), lambda: self._encode(text, add_special_tokens)
        )

    async def inputs(
        self, texts: Sequence[Text], cut: Cut | None = None, *, add_special_tokens: bool = True
    ) -> list[Encoded]:
        """What a pooling model gets of texts; raises BadRequest."""
        length = sum(len(text) + _A_TEXT for text in texts)
        return await _off_the_loop_if_long(
            length,
            lambda: self._inputs.texts(texts, cut, add_special_tokens=add_special_tokens),
        )

    async def pairs(
        self, pairs: Sequence[tuple[str, str]], cut: Cut | None = None
    ) -> list[Encoded]:
        """What a pooling model gets of pairs of texts; raises BadRequest."""
        length = sum(len(first) + len(second) + 2 * _A_TEXT for first, second in pairs)
        return await _off_the_loop_if_long(length, lambda: self._inputs.pairs(pairs, cut))

    async def shortened(self, texts: Sequence[str], limit: int) -> list[str]:
        """The beginning of each text, so many tokens at the most."""
        length = sum(len(text) + _A_TEXT for text in texts)
        return await _off_the_loop_if_long(
            length, lambda: [self._inputs.shortened(text, limit) for text in texts]
        )

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of `token_ids`, special tokens included."""
        text: str = self._tokenizer.decode(list(token_ids))
        return text

    async def text(self, token_ids: Sequence[int]) -> str:
        """The same of any number of them."""
        length = len(token_ids) * _CHARS_A_TOKEN
        return await _off_the_loop_if_long(length, lambda: self.decode(token_ids))

    async def strings(self, token_ids: Sequence[int]) -> list[str]:
        """What the vocabulary has for each of them."""

        def convert() -> list[str]:
            strings: list[str] = self._tokenizer.convert_ids_to_tokens(list(token_ids))
            return strings

        return await _off_the_loop_if_long(len(token_ids) * _CHARS_A_TOKEN, convert)

    def _encode(self, text: str, add_special_tokens: bool) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return ids


async def _off_the_loop_if_long(length: int, work: Callable[[], T]) -> T:
    return work() if length < LONG_CHARS else await asyncio.to_thread(work)
