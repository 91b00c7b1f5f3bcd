"""POST /tokenize and /detokenize"""

from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Self

import msgspec
from pydantic import Field, model_validator
from starlette.requests import Request
from starlette.responses import Response

from deployments.errors import BadRequest
from serve_app.http.auth import client_of
from serve_app.http.body import read
from serve_app.http.conversation import Conversation, Message
from serve_app.http.fields import ModelName, Quick, TokenId
from serve_app.http.limiting import LengthWithin
from serve_app.http.openapi_requests import Rules, absent, both, either, given
from serve_app.http.parsing import (
    INVALID_VALUE,
    MISSING_PARAMETER,
    Refused,
    StrictObject,
    invalid,
    never,
)
from serve_app.http.rendering import render
from serve_app.http.service import Service
from serve_app.http.tasks import find, reach

_OF_CHATS = ("tools", "add_generation_prompt", "continue_final_message", "chat_template_kwargs")


class TokenizeRequest(Conversation):
    """A body of `POST /tokenize`: a text, or a chat."""

    unsupported = MappingProxyType(never("chat_template media_io_kwargs mm_processor_kwargs"))

    rules: ClassVar[Rules] = (
        either(
            both(given("prompt"), absent("messages", *_OF_CHATS)),
            both(given("messages"), absent("prompt")),
        ),
    )

    model: ModelName | None = None
    """May be left out where there is but one."""
    prompt: str | None = None
    messages: Annotated[Quick[Message], Field(min_length=1), LengthWithin("messages")] | None = None  # type: ignore[assignment]
    add_special_tokens: bool | None = None  # type: ignore[assignment]
    """Null is true for a text, and false for a chat, whose template adds them."""
    return_token_strs: bool = False
    """Whether each token's own text comes, too."""

    @model_validator(mode="after")
    def _is_one_of_the_two(self) -> Self:
        if self.prompt is None and self.messages is None:
            raise Refused("is required, or 'messages'", MISSING_PARAMETER, field="prompt")
        if self.prompt is not None:
            for field in ("messages", *_OF_CHATS):
                if field in self.model_fields_set:
                    raise Refused("must be left out beside 'prompt'", INVALID_VALUE, field=field)
        return self


class DetokenizeRequest(StrictObject):
    """A body of `POST /detokenize`."""

    model: ModelName | None = None
    """May be left out where there is but one."""
    tokens: Quick[TokenId]


async def tokenize(request: Request) -> Response:
    """The token ids of a text, or of the prompt that a chat becomes.

    They are those that a generation request with the same fields would get.
    """
    service: Service = request.app.state.service
    asked = await read(request, TokenizeRequest)
    model = await _model(request, asked.model)
    await reach(request, model)  # an engine knows the context
    tokenizing = service.tokenizing(model)
    if asked.prompt is None:
        ids = await render(service, model, asked)
    else:
        special = asked.add_special_tokens is not False
        ids = await tokenizing.encode(asked.prompt, add_special_tokens=special)
    strings = await tokenizing.strings(ids) if asked.return_token_strs else None
    return _json(
        {
            "count": len(ids),
            "max_model_len": service.router.pool(model).facts["max_model_len"],
            "tokens": ids,
            "token_strs": strings,
        }
    )


async def detokenize(request: Request) -> Response:
    """The text of token ids, special tokens included."""
    service: Service = request.app.state.service
    asked = await read(request, DetokenizeRequest)
    model = await _model(request, asked.model)
    tokenizing = service.tokenizing(model)
    size = tokenizing.vocab_size
    if max(asked.tokens, default=0) >= size:
        index = next(index for index, token_id in enumerate(asked.tokens) if token_id >= size)
        raise invalid(f"tokens[{index}]", f"must be a token id of the model, below {size}")
    return _json({"prompt": await tokenizing.text(asked.tokens)})


async def _model(request: Request, given: str | None) -> str:
    """The model that is meant. Raises BadRequest or ModelNotFound."""
    model = _only_model(request) if given is None else given
    await find(request, model)
    return model


def _only_model(request: Request) -> str:
    service: Service = request.app.state.service
    models = list(filter(client_of(request).may_use, service.router.pools))
    if len(models) != 1:
        raise BadRequest(
            "'model' is required: there is not just one.", param="model", code=MISSING_PARAMETER
        )
    return models[0]


def _json(content: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")
