"""The body of `POST /v1/chat/completions`."""

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from deployments.messages import StructuredOutputs
from serve_app.http.conversation import MAX_DOCUMENTS, Conversation
from serve_app.http.fields import Alternatives, Label, Metadata, PositiveLength, Quick
from serve_app.http.forced_calls import form_of_calls
from serve_app.http.openapi_requests import (
    Rules,
    absent,
    both,
    either,
    false,
    given,
    is_,
    is_not,
    only,
)
from serve_app.http.parsing import invalid, never, not_yet
from serve_app.http.protocol import FREE_FORMAT, UNSUPPORTED, GenerationRequest
from serve_app.http.tools import (
    Function,
    Mode,
    NamedTool,
    ToolChoice,
    check_arguments,
    chosen_function,
)

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Tier = Literal["auto", "default", "fast", "flex", "priority"]


class ChatRequest(Conversation, GenerationRequest):
    """A body of `POST /v1/chat/completions`."""

    unsupported = MappingProxyType(
        {
            **UNSUPPORTED,
            **never(
                "audio chat_template functions media_io_kwargs mm_processor_kwargs moderation "
                "prediction web_search_options"
            ),
            "echo": (False,),
            "function_call": ("none",),
            "modalities": (["text"],),
            "prompt_cache_options": ({}, {"mode": "implicit"}),
            "prompt_cache_retention": ("in_memory",),
            "return_prompt_text": (False,),
            "store": (False,),
            "verbosity": ("medium",),
        }
    )

    rules: ClassVar[Rules] = (
        either(absent("top_logprobs"), is_("logprobs", True)),
        either(false("return_tokens_as_token_ids"), is_("logprobs", True)),
        either(is_not("include_reasoning", False), false("logprobs", "return_token_ids")),
        either(
            only("tool_choice", "none"),
            both(given("tools"), is_("tool_choice", "auto")),
            both(given("tools"), absent("structured_outputs"), FREE_FORMAT),
        ),
    )

    max_completion_tokens: PositiveLength | None = None
    logprobs: bool = False
    top_logprobs: Alternatives | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool = True
    reasoning_effort: Effort | None = None
    include_reasoning: bool = True
    """Whether the answer shows what the model thought before it; vLLM's."""
    documents: Annotated[Quick[dict[str, str]], Field(max_length=MAX_DOCUMENTS)] | None = None
    metadata: Metadata | None = None
    prompt_cache_key: Label | None = None
    """A label: cached prompts are found by what they say."""
    safety_identifier: Annotated[str, Field(max_length=128)] | None = None
    service_tier: Annotated[Tier, not_yet("scale")] | None = None

    @property
    def tier(self) -> str | None:
        return self.service_tier

    @property
    def requested_max_tokens(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def sample_logprobs(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def choice(self) -> NamedTool | Mode:
        """Whether and what the answer has to call."""
        if self.tool_choice is None:
            return "none" if self.tools is None else "auto"
        return self.tool_choice

    @property
    def function(self) -> Function | None:
        """What the answer has to call; raises BadRequest when it is none of the tools."""
        return chosen_function(self.tools, self.choice)

    @cached_property
    def structured_outputs(self) -> StructuredOutputs | None:
        if self.choice == "required":
            return form_of_calls(self.tools or (), parallel=self.parallel_tool_calls)
        function = self.function
        return self.form_of_content if function is None else function.arguments

    @property
    def form_of_content(self) -> StructuredOutputs | None:
        """What an answer that calls nothing has to look like."""
        return super().structured_outputs

    @property
    def form_field(self) -> str:
        return super().form_field if self.form_of_content is not None else "tools"

    @property
    def template_kwargs(self) -> Mapping[str, Any]:
        kwargs = dict(super().template_kwargs)
        if self.reasoning_effort is not None:
            kwargs["reasoning_effort"] = self.reasoning_effort
            kwargs.setdefault("enable_thinking", self.reasoning_effort != "none")
        return kwargs

    @property
    def documents_for_template(self) -> list[dict[str, str]] | None:
        return self.documents

    @model_validator(mode="after")
    def _chat_agrees_with_itself(self) -> Self:
        if self.max_tokens not in (None, self.requested_max_tokens):
            raise invalid("max_tokens", "must not differ from 'max_completion_tokens'")
        if self.top_logprobs is not None and not self.logprobs:
            raise invalid("top_logprobs", "needs 'logprobs' to be true")
        forced = self.function is not None or self.choice == "required"
        if forced and self.form_of_content is not None:
            raise invalid(self.form_field, "must be left out where 'tool_choice' forces a call")
        check_arguments(self.tools, self.choice)
        if not self.include_reasoning:
            # They would show what is not to be shown.
            for field in ("logprobs", "return_token_ids"):
                if getattr(self, field):
                    raise invalid(field, "must be left out where 'include_reasoning' is false")
        effort = (self.chat_template_kwargs or {}).get("reasoning_effort")
        if self.reasoning_effort is not None and effort not in (None, self.reasoning_effort):
            raise invalid("reasoning_effort", "must not differ from that of 'chat_template_kwargs'")
        return self
