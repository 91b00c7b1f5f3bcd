"""The messages of a chat, and what else its template gets: what clients may send of it."""

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import from_json

from serve_app.http.fields import Quick
from serve_app.http.limiting import LengthWithin
from serve_app.http.openapi_requests import Rules, absent, both, either, false, given, is_, is_not
from serve_app.http.parsing import (
    INVALID_TYPE,
    INVALID_VALUE,
    MISSING_PARAMETER,
    UNSUPPORTED_PARAMETER,
    Refused,
    StrictObject,
    at_most,
    never,
    not_yet,
)
from serve_app.http.schemas import bounded_json
from serve_app.http.tools import Tools

MAX_DOCUMENTS = 1024
MAX_TEMPLATE_KWARGS = 64
MAX_TEMPLATE_KWARGS_BYTES = 16 * 1024
"""Of all of them as compact JSON."""
MAX_TEMPLATE_KWARGS_DEPTH = 8

_GIVEN_ELSEWHERE = frozenset(
    {
        "add_generation_prompt",
        "additional_special_tokens",
        "bos_token",
        "chat_template",
        "cls_token",
        "continue_final_message",
        "conversation",
        "conversations",
        "documents",
        "eos_token",
        "extra_special_tokens",
        "mask_token",
        "max_length",
        "messages",
        "pad_token",
        "padding",
        "raise_exception",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "sep_token",
        "strftime_now",
        "tokenize",
        "tokenizer_kwargs",
        "tools",
        "truncation",
        "unk_token",
    }
)
"""What a chat template gets from its model, from the request's own fields, or from nobody."""


class Part(StrictObject):
    """A piece of a message."""

    rules: ClassVar[Rules] = (
        either(
            both(is_("type", "text"), given("text"), absent("refusal")),
            both(is_("type", "refusal"), given("refusal"), absent("text")),
        ),
    )

    type: Annotated[
        Literal["text", "refusal"],
        not_yet(
            "audio_embeds",
            "audio_url",
            "file",
            "image_embeds",
            "image_url",
            "input_audio",
            "prompt_embeds",
            "video_embeds",
            "video_url",
        ),
    ]
    text: str | None = None
    refusal: str | None = None

    @property
    def said(self) -> str:
        """The text, whichever of the two it is."""
        return (self.text if self.type == "text" else self.refusal) or ""

    @model_validator(mode="after")
    def _is_what_its_type_says(self) -> Self:
        for kind in ("text", "refusal"):
            if (self.type == kind) != (getattr(self, kind) is not None):
                wrong = self.type != kind
                predicate = f"needs 'type' to be \"{kind}\"" if wrong else "is required"
                code = INVALID_VALUE if wrong else MISSING_PARAMETER
                raise Refused(predicate, code, field=kind)
        return self


class CalledFunction(StrictObject):
    """What the assistant called, with arguments as the JSON that it wrote."""

    name: Annotated[str, Field(min_length=1, max_length=256)]
    arguments: str = ""

    def for_template(self) -> dict[str, Any]:
        """With the arguments as an object, which is what templates expect.

        As in vLLM, what is no JSON object counts as an empty one: the assistant wrote it, and to
        refuse it would end the conversation.
        """
        try:
            arguments = from_json(self.arguments or "{}", allow_inf_nan=False)
        except ValueError:
            arguments = {}
        known = arguments if isinstance(arguments, dict) else {}
        return {"name": self.name, "arguments": known}


class ToolCall(StrictObject):
    """A call that the assistant made earlier."""

    id: Annotated[str, Field(max_length=256)]
    type: Annotated[Literal["function"], not_yet("custom")] = "function"
    function: CalledFunction
    unsupported = MappingProxyType(never("custom"))

    def for_template(self) -> dict[str, Any]:
        return {"id": self.id, "type": self.type, "function": self.function.for_template()}


def _content_kind(value: object) -> str | None:
    return "text" if isinstance(value, str) else "parts" if isinstance(value, list) else None


Content = Annotated[
    Annotated[str, Tag("text")] | Annotated[Quick[Part], Field(min_length=1), Tag("parts")],
    Discriminator(
        _content_kind,
        custom_error_type=INVALID_TYPE,
        custom_error_message="must be a string or an array of text parts",
    ),
]

_NO_REFUSALS = {"properties": {"content": {"items": is_("type", "text")}}}
_CALLS = {
    "required": ["tool_calls"],
    "properties": {"tool_calls": {"type": "array", "minItems": 1}},
}
_INSTEAD_OF_CONTENT = ("refusal", "reasoning", "reasoning_content")
"""Fields beside which an assistant may have nothing else to say, if it makes no calls."""
_OF_ASSISTANTS = ("tool_calls", *_INSTEAD_OF_CONTENT)


class Message(StrictObject):
    """One turn of a conversation."""

    rules: ClassVar[Rules] = (
        either(is_("role", "assistant"), both(absent(*_OF_ASSISTANTS), _NO_REFUSALS)),
        either(
            both(is_("role", "tool"), given("tool_call_id")),
            both(is_not("role", "tool"), absent("tool_call_id")),
        ),
        either(*(given(name) for name in ("content", *_INSTEAD_OF_CONTENT)), _CALLS),
    )

    unsupported = MappingProxyType({**never("audio function_call"), "annotations": ([],)})

    role: Annotated[
        Literal["system", "developer", "user", "assistant", "tool"], not_yet("function")
    ]
    content: Content | None = None
    name: Annotated[str, Field(max_length=256)] | None = None
    tool_calls: Quick[ToolCall] | None = None
    tool_call_id: Annotated[str, Field(max_length=256)] | None = None
    refusal: str | None = None
    reasoning: str | None = None
    """What the assistant thought before it answered; vLLM's name."""
    reasoning_content: str | None = None
    """The same, by the name that others have for it."""

    def for_template(self) -> dict[str, Any]:
        """The message as vLLM gives it to chat templates, its parts still apart."""
        reasoning = self.reasoning if self.reasoning is not None else self.reasoning_content
        fields = {
            "content": self._said(),
            "name": self.name,
            "tool_calls": [call.for_template() for call in self.tool_calls or ()] or None,
            "tool_call_id": self.tool_call_id,
            "reasoning": reasoning,
            "reasoning_content": reasoning,
        }
        given = {name: value for name, value in fields.items() if value is not None}
        return {"role": self.role, **given}

    def _said(self) -> str | list[dict[str, str]]:
        if isinstance(self.content, list):
            return [{"type": "text", "text": part.said} for part in self.content]
        return self.content if self.content is not None else self.refusal or ""

    @model_validator(mode="after")
    def _fits_its_role(self) -> Self:
        others = [name for name in _OF_ASSISTANTS if self.role != "assistant"]
        others += ["tool_call_id"] if self.role != "tool" else []
        for field in others:
            if getattr(self, field) is not None:
                owner = "tool" if field == "tool_call_id" else "assistant"
                raise Refused(f"needs 'role' to be \"{owner}\"", INVALID_VALUE, field=field)
        if self.role == "tool" and self.tool_call_id is None:
            raise Refused("is required", MISSING_PARAMETER, field="tool_call_id")
        said = ("content", *_INSTEAD_OF_CONTENT)
        if not self.tool_calls and all(getattr(self, name) is None for name in said):
            raise Refused("is required", MISSING_PARAMETER, field="content")
        if self.role != "assistant" and isinstance(self.content, list):
            self._check_that_nobody_refuses(self.content)
        return self

    def _check_that_nobody_refuses(self, parts: list[Part]) -> None:
        for number, part in enumerate(parts):
            if part.type == "refusal":
                path = f"content[{number}].type"
                raise Refused(
                    'must be "text" unless it is the assistant', INVALID_VALUE, field=path
                )


def _template_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
    for name in kwargs:
        if name in _GIVEN_ELSEWHERE:
            raise Refused("must not be set by a request", UNSUPPORTED_PARAMETER, field=name)
        if not name.isidentifier() or name.startswith("_"):
            raise Refused("is no name of a variable", INVALID_VALUE, field=name)
    bounded_json(kwargs, MAX_TEMPLATE_KWARGS_BYTES, MAX_TEMPLATE_KWARGS_DEPTH)
    return kwargs


TemplateKwargs = Annotated[
    dict[str, Any], at_most(MAX_TEMPLATE_KWARGS), AfterValidator(_template_kwargs)
]


class Conversation(StrictObject):
    """What a chat template makes a prompt of."""

    rules: ClassVar[Rules] = (
        either(false("continue_final_message"), false("add_generation_prompt")),
    )

    messages: Annotated[Quick[Message], Field(min_length=1), LengthWithin("messages")]
    tools: Tools | None = None
    add_generation_prompt: bool | None = None
    """Whether the prompt opens the assistant's turn; null: unless `continue_final_message`."""
    continue_final_message: bool = False
    add_special_tokens: bool = False
    chat_template_kwargs: TemplateKwargs | None = None
    """Variables of the model's chat template, such as `enable_thinking`; vLLM's."""

    @property
    def opens_answer(self) -> bool:
        """Whether the template ends by opening the assistant's turn."""
        if self.add_generation_prompt is None:
            return not self.continue_final_message
        return self.add_generation_prompt

    @property
    def template_kwargs(self) -> Mapping[str, Any]:
        """All the variables that the request gives to the template."""
        return self.chat_template_kwargs or {}

    @property
    def documents_for_template(self) -> list[dict[str, str]] | None:
        """What the template may show of documents."""
        return None

    @cached_property
    def messages_for_template(self) -> list[dict[str, Any]]:
        """The messages as chat templates take them."""
        return [message.for_template() for message in self.messages]

    @cached_property
    def tools_for_template(self) -> list[dict[str, Any]] | None:
        """The tools as chat templates take them: as the client wrote them."""
        return None if self.tools is None else [tool.for_template() for tool in self.tools]

    @model_validator(mode="after")
    def _opens_or_continues(self) -> Self:
        if self.continue_final_message and self.add_generation_prompt:
            raise Refused(
                "must not be true beside 'add_generation_prompt'",
                INVALID_VALUE,
                field="continue_final_message",
            )
        return self
