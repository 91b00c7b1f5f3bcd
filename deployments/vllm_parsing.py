"""What models mark as thoughts and as calls of tools, read by vLLM's own parsers.

With the other modules named vllm_*, all that touches vLLM; written against 0.32.0. It is imported
in router replicas, and only where a model has a parser: that takes seconds. vLLM's parsers work on
its own `ChatCompletionRequest`; of a chat they get one that has what they look at, and no more.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from vllm.entrypoints.openai.chat_completion.protocol import (
    ChatCompletionNamedToolChoiceParam,
    ChatCompletionRequest,
    ChatCompletionToolsParam,
)
from vllm.exceptions import VLLMClientError
from vllm.parser import Parser, ParserManager
from vllm.sampling_params import StructuredOutputsParams
from vllm.tokenizers.hf import get_cached_tokenizer
from vllm.tool_parsers.tool_strict_level import ToolStrictLevel

from deployments.errors import BadRequest
from deployments.messages import Reasoning, StructuredOutputs
from deployments.pace import Pace
from deployments.speech import Asked
from deployments.vllm_forms import form_params
from deployments.vllm_reader import VllmReader

_CHOSEN = ("reasoning_parser_cls", "tool_parser_cls", "tool_strict_level")
"""What `ParserManager.get_parser` sets on the class that it gives."""


class VllmParsing:
    """The parsers of one model."""

    def __init__(
        self,
        tokenizer: Any,
        config: Mapping[str, Any],
        *,
        tool_parser: str | None = None,
        reasoning_parser: str | None = None,
        tool_strict_level: str = "auto",
    ) -> None:
        """`config` is the model's own config.json. Raises ValueError for parsers that the model's
        tokenizer is not made for."""
        self._tokenizer = get_cached_tokenizer(tokenizer)
        self._model_config = _as_parsers_see_it(config)
        options = {
            "is_harmony": config.get("model_type") == "gpt_oss",
            "tool_strict_level": tool_strict_level,
        }
        parser = self._load(tool_parser, reasoning_parser, **options)
        assert parser is not None
        self._parser = parser
        self._thoughts = self._load(None, reasoning_parser, **options)
        """For chats without calls: once such a one has thought, what comes is plain text."""
        self.pace = Pace()
        self.reasons = reasoning_parser is not None
        self.calls = tool_parser is not None

    @property
    def calls_in_its_own_words(self) -> bool:
        """See `deployments.speech.Parsing`."""
        tool_parser = self._parser.tool_parser_cls
        # Without a form for it, nothing would make the model call anything.
        return (
            tool_parser is not None
            and not tool_parser.supports_required_and_named
            and tool_parser.structural_tag_model is not None
        )

    def hear(self, asked: Asked) -> "HeardChat":
        """The chat as its sequences' readers take it; raises BadRequest."""
        return HeardChat(self, asked)

    def parser(
        self, request: ChatCompletionRequest, level: ToolStrictLevel = ToolStrictLevel.AUTO
    ) -> Parser:
        """A parser for one sequence, which holds calls to their form to that level at the least."""
        kind = self._parser if request.tools else self._thoughts or self._parser
        if kind.tool_strict_level < level:
            kind = type(kind.__name__, (kind,), {"tool_strict_level": level})
        return kind(
            self._tokenizer,
            request.tools,
            chat_template_kwargs=request.chat_template_kwargs,
            model_config=self._model_config,
        )

    def _load(
        self, tool_parser: str | None, reasoning_parser: str | None, **options: Any
    ) -> type[Parser] | None:
        try:
            parser: type[Parser] | None = ParserManager.get_parser(
                tool_parser_name=tool_parser,
                reasoning_parser_name=reasoning_parser,
                enable_auto_tools=True,
                tokenizer=self._tokenizer,
                **options,
            )
        except Exception as exc:
            names = " and ".join(filter(None, (tool_parser, reasoning_parser)))
            reason = exc.__cause__ or exc
            raise ValueError(f"{names} cannot be used with this model: {reason}") from exc
        # A class of its own: vLLM has one of Harmony's for all, which the next call would change.
        return parser and type(
            parser.__name__, (parser,), {name: getattr(parser, name) for name in _CHOSEN}
        )


class HeardChat:
    """A chat as vLLM's parsers take it."""

    def __init__(self, parsing: VllmParsing, asked: Asked) -> None:
        self._parsing = parsing
        self._asked = asked
        with _blamed_on("tools"):
            request = _request(asked)
        with _blamed_on("chat_template_kwargs"):
            parser = parsing.parser(request, _level(asked))
            # Looked up once: of a long prompt it takes milliseconds.
            self._has_thought = bool(parser.is_reasoning_end(asked.prompt_token_ids))
        with _blamed_on("tools" if asked.tools else "structured_outputs"):
            self._request = parser.adjust_request(request)
            self.structured_outputs = _form(self._request.structured_outputs)
            self.reasoning = self._reasoning(parser)
        self.skip_special_tokens: bool = self._request.skip_special_tokens
        self.spaces_between_special_tokens: bool = self._request.spaces_between_special_tokens

    def reader(self) -> VllmReader:
        """Who reads one more of the chat's sequences."""
        return VllmReader(
            self._parser,
            self._request,
            self._asked.prompt_token_ids,
            self._parsing.pace.turn(),
            shows_reasoning=self._asked.include_reasoning,
        )

    def _parser(self) -> Parser:
        parser = self._parsing.parser(self._request)
        parser.is_reasoning_end = lambda _: self._has_thought  # asked of the prompt only
        return parser

    def _reasoning(self, parser: Parser) -> Reasoning | None:
        """What the engine has to know, where the form is that of the answer only."""
        if self.structured_outputs is None or not self._parsing.reasons:
            return None
        ended = self._request.resolve_reasoning_ended(parser, self._asked.prompt_token_ids)
        kwargs = json.dumps(self._request.chat_template_kwargs)
        return Reasoning(bool(ended), kwargs)


@contextmanager
def _blamed_on(param: str) -> Iterator[None]:
    """What a parser will not have of a request is refused: there, unless it says where itself."""
    try:
        yield
    except (VLLMClientError, ValueError, TypeError, RuntimeError) as exc:
        raise BadRequest(str(exc), param=getattr(exc, "parameter", None) or param) from exc


def _level(asked: Asked) -> ToolStrictLevel:
    """How far calls are held to their form. Where they are at all, their arguments are, too."""
    strict = any(tool["function"].get("strict") for tool in asked.tools or ())
    is_free = (
        asked.tool_choice == "auto" and asked.parallel_tool_calls and not asked.structured_outputs
    )
    needed = bool(asked.tools) and (strict or not is_free)
    return ToolStrictLevel.PARAMETER if needed else ToolStrictLevel.AUTO


def _as_parsers_see_it(config: Mapping[str, Any]) -> Any:
    """What vLLM's parsers look at of its ModelConfig."""
    text_config = config.get("text_config") or {}
    architectures = config.get("architectures") or [None]
    return SimpleNamespace(
        architecture=architectures[0],
        hf_config=SimpleNamespace(model_type=config.get("model_type")),
        hf_text_config=SimpleNamespace(model_type=text_config.get("model_type")),
        hf_overrides=None,
    )


def _request(asked: Asked) -> ChatCompletionRequest:
    choice = asked.tool_choice
    named = ChatCompletionNamedToolChoiceParam
    # Not validated: its messages have been, and those of a long chat would take long again.
    return ChatCompletionRequest.model_construct(
        messages=list(asked.messages),
        tools=[ChatCompletionToolsParam.model_validate(tool) for tool in asked.tools or ()] or None,
        tool_choice=named.model_validate(choice) if isinstance(choice, dict) else choice,
        parallel_tool_calls=asked.parallel_tool_calls,
        include_reasoning=True,  # what is not to be shown must still be counted
        skip_special_tokens=asked.skip_special_tokens,
        spaces_between_special_tokens=asked.spaces_between_special_tokens,
        structured_outputs=asked.structured_outputs and form_params(asked.structured_outputs),
        chat_template_kwargs=dict(asked.chat_template_kwargs),
    )


def _form(params: StructuredOutputsParams | None) -> StructuredOutputs | None:
    if params is None:
        return None
    values = {name: getattr(params, name) for name in StructuredOutputs.__struct_fields__}
    given = {name: value for name, value in values.items() if value is not None}
    if isinstance(params.json, dict):
        given["json"] = json.dumps(params.json)
    if params.choice is not None:
        given["choice"] = tuple(params.choice)
    return StructuredOutputs(**given)
