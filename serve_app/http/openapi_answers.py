"""What the server answers, as types. Nothing on the way of a request uses them: the OpenAPI
document is made of them, and tests hold real answers against them, where every key counts.
"""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType


class Answer(Struct, forbid_unknown_fields=True):
    """What has no default is always there; what is UNSET may be left out."""


class ErrorDetail(Answer):
    """`code` tells programs what is wrong, `param` names the field, `message` is for people."""

    message: str
    type: Literal[
        "invalid_request_error",
        "authentication_error",
        "permission_error",
        "rate_limit_error",
        "service_unavailable_error",
        "server_error",
    ]
    param: str | None
    code: str | None


class Error(Answer):
    """What every error looks like; also as an event of a stream, which then ends without
    `[DONE]`."""

    error: ErrorDetail


class CachedTokens(Answer):
    """Of a prompt's tokens, those that were served from the prefix cache."""

    cached_tokens: int


class ReasoningTokens(Answer):
    """Of an answer's tokens, those that the model thought before it."""

    reasoning_tokens: int


class Usage(Answer):
    """Tokens, counted exactly."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens
    completion_tokens_details: ReasoningTokens | UnsetType = UNSET
    """For models that have a `reasoning_parser`."""


FinishReason = Literal["stop", "length", "repetition"]
ChatFinishReason = Literal["stop", "length", "repetition", "tool_calls"]
ServiceTier = Literal["default", "flex", "priority"]


class Candidate(Answer):
    """A token at one position; `logprob` is the natural logarithm, -9999 for what cannot be."""

    token: str
    logprob: float
    bytes: list[int]


class PromptCandidate(Answer):
    """The token of a prompt, or another one at its place; the likeliest has rank 1."""

    logprob: float
    rank: int
    decoded_token: str


PromptLogprobs = list[dict[str, PromptCandidate] | None]
"""For each token of a prompt, by token ids; null for the first."""


class ChosenToken(Candidate):
    """The token that was generated, and the likeliest ones at its place."""

    top_logprobs: list[Candidate]


class ChatLogprobs(Answer):
    """One entry for each token."""

    content: list[ChosenToken]
    refusal: None


class AnswerFunction(Answer):
    """`arguments` is JSON as text, valid where the finish reason is not `length`."""

    name: str
    arguments: str


class AnswerToolCall(Answer):
    """A call for the client to make."""

    id: str
    type: Literal["function"]
    function: AnswerFunction


class ChatMessage(Answer):
    """The assistant's turn."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning: str | UnsetType = UNSET
    """What the model thought before."""
    reasoning_content: str | UnsetType = UNSET
    """The same, by the name that others have for it."""
    tool_calls: list[AnswerToolCall] | UnsetType = UNSET


class ChatChoice(Answer):
    """One of `n` answers."""

    index: int
    message: ChatMessage
    logprobs: ChatLogprobs | None
    finish_reason: ChatFinishReason
    stop_reason: str | int | None
    """The stop string or token id that ended it."""
    token_ids: list[int] | UnsetType = UNSET


class ChatCompletion(Answer):
    """A whole answer. `prompt_token_ids` and `token_ids` come with `return_token_ids`."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    prompt_token_ids: list[int] | UnsetType = UNSET
    prompt_logprobs: PromptLogprobs | UnsetType = UNSET
    service_tier: ServiceTier | UnsetType = UNSET


class FunctionPiece(Answer):
    """Pieces of `arguments` are to be joined; the name comes once."""

    arguments: str
    name: str | UnsetType = UNSET


class ToolCallPiece(Answer):
    """`id` and `type` come with the first piece of the call at this index."""

    index: int
    function: FunctionPiece
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET


class ChatDelta(Answer):
    """What is new. The role comes first, and once."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    reasoning: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    """The same, by the name that others have for it."""
    tool_calls: list[ToolCallPiece] | UnsetType = UNSET


class ChatChunkChoice(Answer):
    """A piece of one of `n` answers; its last piece has the finish reason."""

    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None
    finish_reason: ChatFinishReason | None
    stop_reason: str | int | UnsetType | None = UNSET
    token_ids: list[int] | UnsetType = UNSET


class ChatCompletionChunk(Answer):
    """One event of a stream. With `stream_options.include_usage` the last has no choices, and the
    usage."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChatChunkChoice]
    usage: Usage | UnsetType = UNSET
    prompt_token_ids: list[int] | UnsetType = UNSET
    service_tier: ServiceTier | UnsetType = UNSET
    obfuscation: str | UnsetType = UNSET
    """Padding, with `stream_options.include_obfuscation`."""


class CompletionLogprobs(Answer):
    """Columns with an entry for each token; `top_logprobs` is null where none were asked for."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class CompletionChoice(Answer):
    """One of `n` continuations of each prompt; while it is streamed, a piece of one."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason | None
    stop_reason: str | int | UnsetType | None = UNSET
    token_ids: list[int] | UnsetType = UNSET
    prompt_token_ids: list[int] | UnsetType = UNSET
    prompt_logprobs: PromptLogprobs | UnsetType = UNSET


class Completion(Answer):
    """A whole answer."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage


class CompletionChunk(Answer):
    """One event of a stream; the usage comes as with chats."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | UnsetType = UNSET
    obfuscation: str | UnsetType = UNSET
    """Padding, with `stream_options.include_obfuscation`."""


class Embedding(Answer):
    """Of one input: numbers, or with `encoding_format` `base64` their float32, little-endian."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Embeddings(Answer):
    """In the order of the inputs."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[Embedding]
    usage: Usage


class Score(Answer):
    """Of one pair."""

    index: int
    object: Literal["score"]
    score: float


class Scores(Answer):
    """In the order of the pairs."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[Score]
    usage: Usage


class RankedDocument(Answer):
    """A document as it came."""

    text: str
    multi_modal: None


class Ranked(Answer):
    """A document's place: `index` is where it was in the request."""

    index: int
    document: RankedDocument
    relevance_score: float


class Ranking(Answer):
    """The best first."""

    id: str
    model: str
    usage: Usage
    results: list[Ranked]


class Classified(Answer):
    """The likeliest class of one input, and the probability of each."""

    index: int
    label: str | None
    probs: list[float]
    num_classes: int


class Classification(Answer):
    """In the order of the inputs."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[Classified]
    usage: Usage


class Tokenized(Answer):
    """`token_strs` are what the vocabulary has for the tokens, if they were asked for."""

    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None


class Detokenized(Answer):
    """The text."""

    prompt: str


class Model(Answer):
    """A model that this client may use; `max_model_len` is known once an engine runs. `parent` is
    the model that an adapter is for, and `root` where its files come from."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    root: str
    parent: str | None
    max_model_len: int | None


class ModelList(Answer):
    """Every model that this client may use."""

    object: Literal["list"]
    data: list[Model]


class Health(Answer):
    """The router process answers."""

    status: Literal["alive"]


class Readiness(Answer):
    """Known clients also get the state of each model that they may use, by name."""

    status: Literal["ready", "not ready"]
    models: dict[str, dict[str, Any]] | UnsetType = UNSET
