"""What the pooling endpoints share: from texts to inputs, and from inputs to their vectors."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from deployments.errors import ContextLengthExceeded
from deployments.input_encoding import Encoded
from deployments.messages import Pooling
from deployments.tokenizing import Tokenizing
from serve_app.http.auth import terms_of
from serve_app.http.generation import Usage, new_id
from serve_app.http.parsing import invalid
from serve_app.http.pooling_request import InputRequest, PoolingRequest
from serve_app.http.record import record_of
from serve_app.http.service import Service
from serve_app.http.sse import timing
from serve_app.http.tasks import facts_for, reach

Inputs = list[tuple[list[int], Pooling]]
Take = Callable[[int, bytes], None]
"""Gets each input's vector by the input's index, in the order in which they come."""

_AT_ONCE_BYTES = 512 * 1024
"""Of vectors, taken in before others get a turn of the event loop."""
_json = msgspec.json.Encoder().encode


class Pool:
    """One request: its inputs, and what comes of them."""

    @classmethod
    async def open(cls, request: Request, asked: PoolingRequest, task: str) -> "Pool":
        """For a model that the client may use and that does `task`.

        Raises ModelNotFound, BadRequest, or EngineUnavailable.
        """
        service: Service = request.app.state.service
        await reach(request, asked.model)
        return cls(request, asked, facts_for(service, asked.model, task))

    def __init__(self, request: Request, asked: PoolingRequest, facts: dict[str, Any]) -> None:
        self._request = request
        self._asked = asked
        self._service: Service = request.app.state.service
        self.facts: dict[str, Any] = facts["pooling"]
        """As `deployments.vllm_facts.PoolingFacts` has them."""
        self.context: int = facts["max_model_len"]
        self.tokenizing: Tokenizing = self._service.tokenizing(asked.model)
        self.cut = asked.cut(self.context)
        self.headers: list[tuple[bytes, bytes]] = []
        self.usage = Usage(0, 1)

    def plain(self, text: str) -> str:
        """A text as the model takes it."""
        return text.lower() if self.facts["lowercases"] else text

    async def texts(self, asked: InputRequest) -> list[Encoded]:
        """The inputs of a request that has them one by one."""
        texts = [self.plain(text) if isinstance(text, str) else text for text in asked.inputs]
        encoded = await self.tokenizing.inputs(
            texts, self.cut, add_special_tokens=asked.add_special_tokens
        )
        self.check(encoded, "input", is_single=asked.is_single)
        return encoded

    def check(self, encoded: list[Encoded], param: str, *, is_single: bool = False) -> None:
        """Raises ContextLengthExceeded, or BadRequest, for the first that does not fit the model.

        `param` is the field that they came from.
        """
        for index, (token_ids, _) in enumerate(encoded):
            field = param if is_single else f"{param}[{index}]"
            if not token_ids:
                raise invalid(field, "must have at least one token")
            if len(token_ids) > self.context:
                raise ContextLengthExceeded(
                    f"This model's maximum context length is {self.context} tokens, but '{field}' "
                    f"has {len(token_ids)}. Reduce its length, or send 'truncate_prompt_tokens'.",
                    param=field,
                )

    async def run(self, inputs: Inputs, take: Take) -> None:
        """Pool `inputs`, of which the engines may be at work on many at a time."""
        service, record = self._service, record_of(self._request)
        record.rendered_at = service.router.now()
        record.n, record.usage = len(inputs), self.usage
        self.usage.prompt_tokens += sum(len(token_ids) for token_ids, _ in inputs)
        terms = terms_of(self._request, self._asked.model)
        with service.router.generate(
            self._asked.model,
            inputs,
            terms,
            buffer_limit=service.stream_buffer_chars,
            tickets=record.tickets,
        ) as stream:
            while batch := await stream.read():
                taken = 0
                for index, delta in batch:
                    self.usage.add(index, delta)
                    take(index, delta.vector)
                    taken += len(delta.vector)
                    if taken > _AT_ONCE_BYTES:
                        taken = 0
                        await asyncio.sleep(0)
        self.headers = timing(stream)

    def head(self, prefix: str) -> dict[str, Any]:
        """How an answer begins, in OpenAI's words for a list."""
        return {
            "id": new_id(prefix),
            "object": "list",
            "created": int(time.time()),
            "model": self._asked.model,
        }

    def response(self, content: bytes) -> Response:
        """The answer."""
        response = Response(content, media_type="application/json")
        response.raw_headers += self.headers
        return response

    def answer(self, prefix: str, data: Sequence[bytes]) -> Response:
        """A list of what has been written in JSON."""
        head, usage = _json(self.head(prefix)), _json(self.usage.to_json())
        content = b'%s,"data":[%s],"usage":%s}' % (head[:-1], b",".join(data), usage)
        return self.response(content)
