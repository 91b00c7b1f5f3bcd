"""The `limits:` section of the configuration: how much one request may ask for.

limits:
  n: 4
  regex_chars: 1000

What it costs to hold text to a form is tried before a request is taken in; see docs/forms.md.
"""

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from serve_app.section import Section

_VLLM_NESTING = 64
"""How deep vLLM lets a schema nest."""
_VLLM_BAD_WORDS = 64
"""vLLM takes 128 sequences of tokens, and a word may be two: with a space before it and without."""


class Limits(Section):
    """A request beyond one of these gets a 400 that names the field."""

    n: PositiveInt = 8
    """Choices for each prompt."""
    prompts: PositiveInt = 16
    """Prompts of a completion."""
    inputs: PositiveInt = 2048
    """Inputs of a request to a pooling model."""
    messages: PositiveInt = 2048
    tools: PositiveInt = 128
    stop: PositiveInt = 4
    """Stop strings."""
    top_logprobs: NonNegativeInt = 20
    """Alternatives for each token, generated or of the prompt."""
    logit_bias: PositiveInt = 1024
    allowed_token_ids: PositiveInt = 4096
    bad_words: Annotated[int, Field(ge=1, le=_VLLM_BAD_WORDS)] = 32
    schema_bytes: PositiveInt = 64 * 1024
    """Of a JSON schema or a structural tag, as compact JSON, and of all choices together."""
    schema_depth: Annotated[int, Field(ge=1, le=_VLLM_NESTING)] = 16
    """How deep objects and arrays may nest in a schema, which is itself the first."""
    regex_chars: PositiveInt = 256
    grammar_bytes: PositiveInt = 16 * 1024
    choices: PositiveInt = 256
    """Of `structured_outputs.choice`."""
    form_cpu_ms: Annotated[int, Field(ge=10, le=10_000)] = 300
    """CPU time to try out what an answer has to look like."""
    form_memory_mb: Annotated[int, Field(ge=64)] = 512
    """Memory that it takes."""


DEFAULT_LIMITS = Limits()
