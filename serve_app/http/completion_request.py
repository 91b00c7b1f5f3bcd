"""The body of `POST /v1/completions`."""

from types import MappingProxyType
from typing import Any, ClassVar, Self

from pydantic import model_validator

from serve_app.http.fields import COMPLETION_MAX_TOKENS, Alternatives, Length, Prompt
from serve_app.http.openapi_requests import Rules, either, false, given, is_, is_not
from serve_app.http.parsing import invalid, never
from serve_app.http.protocol import UNSUPPORTED, GenerationRequest


class CompletionRequest(GenerationRequest):
    """A body of `POST /v1/completions`."""

    fallback_max_tokens = COMPLETION_MAX_TOKENS
    unsupported = MappingProxyType({**UNSUPPORTED, **never("prompt_embeds suffix")})

    rules: ClassVar[Rules] = (
        either(is_not("max_tokens", 0), is_("echo", True)),
        either(false("return_tokens_as_token_ids"), given("logprobs")),
    )

    prompt: Prompt
    max_tokens: Length | None = None
    logprobs: Alternatives | None = None
    echo: bool = False
    best_of: int | None = None
    add_special_tokens: bool = True

    @property
    def prompts(self) -> list[str | list[int]]:
        """What to complete: texts, or tokens that the client made itself."""
        prompt: Any = self.prompt  # the first item tells the kind of all, which no type can say
        single = isinstance(prompt, str) or isinstance(prompt[0], int)
        return [prompt] if single else prompt

    @property
    def echo_only(self) -> bool:
        """Whether to drop the token that vLLM cannot but generate."""
        return self.max_tokens == 0

    @property
    def sample_logprobs(self) -> int | None:
        return self.logprobs

    @property
    def scored_prompt(self) -> int | None:
        counts = (self.prompt_logprobs, self.logprobs if self.echo else None)
        return max((count for count in counts if count is not None), default=None)

    @model_validator(mode="after")
    def _completion_agrees_with_itself(self) -> Self:
        if self.max_tokens == 0 and not self.echo:
            raise invalid("max_tokens", "must be at least 1 unless 'echo' is true")
        if self.best_of not in (None, self.n):
            raise invalid("best_of", "must equal 'n': choosing among more is not supported yet")
        return self
