"""Everything that can go wrong for a request, as one tree.

    SluiceError
     ├── BadRequest              the client must change the request
     │    ├── ContextLengthExceeded
     │    └── PayloadTooLarge
     ├── Unauthorized            nobody knows who asks
     ├── Forbidden               who asks is known, and may not do this
     ├── ModelNotFound           no such model, or none this client may use
     ├── Overloaded              no room now; come back after `retry_after_s`
     │    ├── DeadlineExceeded   its first token did not come in time
     │    └── EngineUnavailable  no live engine can take the request
     └── EngineFailed            an engine died or failed while it worked on the request

`serve_app.http.errors` maps the tree to HTTP, in that one place. Nothing here knows HTTP.
"""


class SluiceError(Exception):
    """`message` is written for the client; causes and stacks go to the log only."""

    code: str | None = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code


class BadRequest(SluiceError):
    """The client must change the request; `param` names the field."""

    code = "invalid_value"


class ContextLengthExceeded(BadRequest):
    """Prompt and requested completion do not fit into the model's context."""

    code = "context_length_exceeded"


class PayloadTooLarge(BadRequest):
    """The body is larger than the server reads."""

    code = "payload_too_large"


class Unauthorized(SluiceError):
    """Nobody knows who asks: no key, or none that is valid."""

    code = "invalid_api_key"


class Forbidden(SluiceError):
    """Who asks is known, and may not do this."""

    code = "forbidden"


class ModelNotFound(SluiceError):
    """No model of that name is served."""

    code = "model_not_found"


class Overloaded(SluiceError):
    """No room now. `retry_after_s` says when to come back, in seconds; not `retriable`: no use."""

    code = "overloaded"

    def __init__(self, message: str, *, retry_after_s: float = 1.0, retriable: bool = True) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.retriable = retriable


class DeadlineExceeded(Overloaded):
    """The first token did not come within the time that the request may wait."""

    code = "deadline_exceeded"


class EngineUnavailable(Overloaded):
    """No live engine can take the request."""

    code = "engine_unavailable"


class EngineFailed(SluiceError):
    """An engine died or failed while it worked on the request."""

    code = "engine_failed"
