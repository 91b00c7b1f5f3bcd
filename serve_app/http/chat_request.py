"""The body of `POST /v1/chat/completions`."""

from types import MappingProxyType
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from deployments.messages import StructuredOutputs
from serve_app.http.conversation import Message
from serve_app.http.fields import MAX_MESSAGES, Alternatives, Metadata, PositiveLength, Quick
from serve_app.http.parsing import never, parse
from serve_app.http.protocol import UNSUPPORTED, GenerationRequest, invalid
from serve_app.http.structured import Function, ToolChoice, Tools, chosen_function


class ChatRequest(GenerationRequest):
    """A body of `POST /v1/chat/completions`."""

    unsupported = MappingProxyType(
        {
            **UNSUPPORTED,
            **never(
                "audio chat_template functions include_reasoning media_io_kwargs "
                "mm_processor_kwargs moderation prediction prompt_cache_key prompt_cache_options "
                "prompt_cache_retention reasoning_effort safety_identifier web_search_options"
            ),
            "chat_template_kwargs": ({},),
            "documents": ([],),
            "echo": (False,),
            "function_call": ("none",),
            "modalities": (["text"],),
            "parallel_tool_calls": (True,),
            "service_tier": ("auto", "default"),
            "store": (False,),
            "verbosity": ("medium",),
        }
    )

    messages: Annotated[Quick[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_completion_tokens: PositiveLength | None = None
    logprobs: bool = False
    top_logprobs: Alternatives | None = None
    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    metadata: Metadata | None = None
    add_generation_prompt: bool | None = None
    """Null lets `continue_final_message` decide; see `opens_answer`."""
    continue_final_message: bool = False
    add_special_tokens: bool = False

    @property
    def opens_answer(self) -> bool:
        """Whether the template ends by opening the assistant's turn."""
        if self.add_generation_prompt is None:
            return not self.continue_final_message
        return self.add_generation_prompt

    @property
    def requested_max_tokens(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def sample_logprobs(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def function(self) -> Function | None:
        """What the answer has to call; raises BadRequest when it is none of the tools."""
        return chosen_function(self.tools, self.tool_choice)

    @property
    def structured_outputs(self) -> StructuredOutputs | None:
        function = self.function
        return super().structured_outputs if function is None else function.arguments

    def conversation(self) -> list[dict[str, str]]:
        """The messages as chat templates take them."""
        return [message.for_template() for message in self.messages]

    def tools_for_template(self) -> list[dict[str, Any]] | None:
        """The tools as chat templates take them: as the client wrote them."""
        return None if self.tools is None else [tool.for_template() for tool in self.tools]

    @model_validator(mode="after")
    def _chat_agrees_with_itself(self) -> Self:
        if self.max_tokens not in (None, self.requested_max_tokens):
            raise invalid("max_tokens", "must not differ from 'max_completion_tokens'")
        if self.top_logprobs is not None and not self.logprobs:
            raise invalid("top_logprobs", "needs 'logprobs' to be true")
        if self.continue_final_message and self.add_generation_prompt:
            raise invalid(
                "continue_final_message", "must not be true beside 'add_generation_prompt'"
            )
        if self.function is not None and super().structured_outputs is not None:
            raise invalid("response_format", "must be text where 'tool_choice' names a function")
        return self


def parse_chat(body: bytes) -> ChatRequest:
    """The body of a chat completion; raises `BadRequest`."""
    return parse(ChatRequest, body)
