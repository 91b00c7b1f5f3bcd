"""What routers and engine replicas say to each other, and nothing else.

Every struct is array-like and tagged by an integer, so that a message decodes straight into its
type. Both ends run the same build: a changed layout changes `PROTOCOL`, and a peer that speaks
another one is refused when it connects.
"""

import msgspec

PROTOCOL = 3


class StructuredOutputs(msgspec.Struct, array_like=True, omit_defaults=True, gc=False, frozen=True):
    """What an answer must look like; exactly one is given. Names are vLLM's."""

    json: str | None = None
    """A JSON schema, as text."""
    json_object: bool = False
    """Any JSON object."""


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


class Sequence(msgspec.Struct, array_like=True, omit_defaults=True, gc=False, frozen=True):
    """One sequence to generate. `id` is the router's own and unique within its connection."""

    id: int
    prompt_token_ids: list[int]
    sampling: Sampling
    emitted_token_ids: list[int] = []
    """What another engine has generated of it already: this one goes on behind the last of them.
    Its deltas bring what comes after them, in tokens, in text and in log probabilities."""
    cache_salt: str | None = None
    """Sequences share cached prefixes only with those of the same salt."""


class Logprob(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """One candidate token at one position. `logprob` is the natural logarithm."""

    token_id: int
    logprob: float
    token: str
    """The token's own text, as vLLM decodes it in context."""


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


class Refusal(msgspec.Struct, array_like=True, tag=1, frozen=True):
    """Why the engine replica closes this connection."""

    reason: str


ToEngine = Hello | Submit | Abort
ToRouter = Step | Refusal
