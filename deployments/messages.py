"""What routers and engine replicas say to each other, and nothing else.

Every struct is array-like and tagged by an integer, so that a message decodes straight into its
type. Both ends run the same build: a changed layout changes `PROTOCOL`, and a peer that speaks
another one is refused when it connects.
"""

from typing import ClassVar

import msgspec

PROTOCOL = 6


class StructuredOutputs(msgspec.Struct, array_like=True, omit_defaults=True, gc=False, frozen=True):
    """What an answer must look like; exactly one is given. Names are vLLM's."""

    json: str | None = None
    """A JSON schema, as text."""
    json_object: bool = False
    """Any JSON object."""
    structural_tag: str | None = None
    """What some text must look like where it occurs, as JSON."""
    regex: str | None = None
    choice: tuple[str, ...] | None = None
    """One of these texts."""
    grammar: str | None = None
    """In EBNF, or in Lark's syntax."""


class Reasoning(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """What an engine must know of a model that thinks, to see where its answer begins."""

    ended: bool
    """Whether the answer begins with the first token."""
    chat_template_kwargs: str
    """What the prompt's template got, which decides how the model marks its thoughts, as JSON."""


class Repetition(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """What ends a sequence that goes round in circles. Names are vLLM's."""

    max_pattern_size: int
    min_pattern_size: int
    min_count: int


class Sampling(msgspec.Struct, array_like=True, omit_defaults=True, gc=False, frozen=True):
    """How to sample one sequence. Names and meanings are those of vLLM's `SamplingParams`."""

    max_tokens: int
    min_tokens: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    """How many alternatives to report beside each generated token; None reports nothing."""
    prompt_logprobs: int | None = None
    logit_bias: dict[int, float] | None = None
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    include_stop_str_in_output: bool = False
    stream_interval: int = 1
    """So many tokens, at the least, make a delta; the first and the last token come at once."""
    structured_outputs: StructuredOutputs | None = None
    reasoning: Reasoning | None = None
    """Given where the form is that of the answer only, and a model thinks before it."""
    thinking_token_budget: int | None = None
    allowed_token_ids: tuple[int, ...] | None = None
    bad_words: tuple[str, ...] = ()
    repetition_detection: Repetition | None = None

    @property
    def is_slow_to_check(self) -> bool:
        """Whether vLLM takes long to look at it: it parses forms, and tokenizes bad words."""
        return self.structured_outputs is not None or bool(self.bad_words)


class Pooling(msgspec.Struct, array_like=True, omit_defaults=True, gc=False, frozen=True):
    """What to make of one input instead of text. Names are those of vLLM's `PoolingParams`."""

    max_tokens: ClassVar[int] = 0

    task: str
    """`embed` or `classify`."""
    dimensions: int | None = None
    use_activation: bool | None = None
    """Whether an embedding is normalized and a class's logit made a probability; None does."""
    second_text_at: int | None = None
    """Where the second text of a pair begins, for a model that is to be told."""


NOT_SAMPLED = Sampling(max_tokens=0)
"""The sampling of an input that is pooled."""


class Adapter(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """LoRA weights on top of the model's own. An engine loads them when it first needs them."""

    id: int
    """Of these very weights, from 1 to 2**63 - 1: whatever is cached of them goes by it."""
    name: str
    path: str
    """Their directory, or a hub id."""


class Sequence(msgspec.Struct, array_like=True, omit_defaults=True, gc=False, frozen=True):
    """One sequence to generate, or one input to pool. `id` is the router's own and unique within
    its connection."""

    id: int
    prompt_token_ids: list[int]
    sampling: Sampling
    emitted_token_ids: list[int] = []
    """What another engine has generated of it already: this one goes on behind the last of them.
    Its deltas bring what comes after them, in tokens, in text and in log probabilities."""
    cache_salt: str | None = None
    """Sequences share cached prefixes only with those of the same salt."""
    pooling: Pooling | None = None
    """What to make of it where it is not sampled."""
    adapter: Adapter | None = None
    """None: the model as it is."""
    ahead: bool = False
    """Whether it goes before those that wait in the engine, as `deployments.vllm_order` says."""
    traceparent: str | None = None
    """W3C's: the router's span of this stay with the engine, where the request is traced."""
    tracestate: str | None = None
    yields: bool = False
    """Whether steps are to be short while it is taken in, for others who may go ahead."""


class Logprob(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """One candidate token at one position. `logprob` is the natural logarithm."""

    token_id: int
    logprob: float
    token: str
    """The token's own text, as vLLM decodes it in context."""
    rank: int = 0
    """The most likely one is first; 0 where nobody has told."""


class Delta(msgspec.Struct, array_like=True, omit_defaults=True, gc=False):
    """What one engine step, or a few of them, produced for one sequence.

    `text` may be shorter than `token_ids` suggests: an unfinished UTF-8 sequence or a possible
    stop string is held back until it is decided.
    """

    id: int
    text: str
    token_ids: list[int]
    finish_reason: str | None = None
    """`stop`, `length`, `abort`, `error` or `repetition` on the last delta, else None."""
    stop_reason: int | str | None = None
    logprobs: list[list[Logprob]] | None = None
    """Per new token: the chosen token first, then the most likely ones by rank."""
    prompt_logprobs: list[list[Logprob] | None] | None = None
    num_cached_tokens: int = 0
    """Prompt tokens served from the prefix cache; set on a sequence's first delta."""
    error: str | None = None
    """Why the engine could not take or finish this sequence (`finish_reason` is `error`)."""
    bad_request: bool = False
    """True when `error` is the client's to mend."""
    param: str | None = None
    """The field that it is about, if it is about one."""
    vector: bytes = b""
    """All that comes of an input that is pooled: float32, little-endian."""

    def append(self, later: "Delta") -> None:
        """Take in what the same sequence produced next."""
        self.text += later.text
        self.token_ids += later.token_ids
        self.finish_reason = later.finish_reason
        self.stop_reason = later.stop_reason
        if later.logprobs:
            self.logprobs = self.logprobs or []
            self.logprobs += later.logprobs
        if later.prompt_logprobs:
            self.prompt_logprobs = later.prompt_logprobs
        self.num_cached_tokens = self.num_cached_tokens or later.num_cached_tokens


class Load(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """How busy an engine is, as of the step it travels with."""

    running: int = 0
    waiting: int = 0
    kv_cache_usage: float = 0.0
    """Share of KV blocks in use, 0 to 1."""
    step_time_s: float = 0.0
    """Moving average of the time between two steps while busy; 0 before the first."""
    progressing: bool = True
    """False while the engine core owes an answer for too long."""
    draining: bool = False
    routers: int = 1
    """How many routers are connected: each may fill its share of the room."""


class Hello(msgspec.Struct, array_like=True, tag=0, frozen=True):
    """A router's first message: who it is and the secret that Ray handed to both ends."""

    protocol: int
    router: str
    secret: str


class Submit(msgspec.Struct, array_like=True, tag=1, frozen=True):
    """Everything a router has to start, gathered over one turn of its event loop."""

    sequences: list[Sequence]


class Abort(msgspec.Struct, array_like=True, tag=2, frozen=True):
    """Sequences whose client has gone. Unknown ids are passed over: they have just ended."""

    ids: list[int]


class Step(msgspec.Struct, array_like=True, tag=0, gc=False):
    """Every delta of one engine step for one router, and the engine's load after it.

    With no deltas it is the beat, sent at least once a second.
    """

    deltas: list[Delta]
    load: Load
    made_at: float = 0.0
    """When the engine core made them, by its host's monotonic clock: to be compared with another of
    the same engine's, and with nothing else."""
    held_s: float = 0.0
    """For how long the engine replica has had them since then."""


class Refusal(msgspec.Struct, array_like=True, tag=1, frozen=True):
    """Why the engine replica closes this connection."""

    reason: str


ToEngine = Hello | Submit | Abort
ToRouter = Step | Refusal
