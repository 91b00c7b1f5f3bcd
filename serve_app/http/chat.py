"""POST /v1/chat/completions"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from deployments.messages import Delta
from serve_app.http import logprobs
from serve_app.http.answer import Answer, respond
from serve_app.http.body import read_json_body
from serve_app.http.generation import plan
from serve_app.http.protocol import ChatRequest, parse_chat
from serve_app.http.service import Service


async def create_chat_completion(request: Request) -> Response:
    """Answer a conversation, whole or as a stream."""
    service: Service = request.app.state.service
    chat = parse_chat(await read_json_body(request, service.max_body_bytes))
    service.router.pool(chat.model)  # an unknown model is refused before any work
    prompt = await service.tokenizers[chat.model].chat(
        chat.conversation(),
        add_generation_prompt=chat.opens_answer,
        continue_final_message=chat.continue_final_message,
        add_special_tokens=chat.add_special_tokens,
    )
    sequences = plan(service, chat, [prompt], "messages")
    return await respond(service, sequences, ChatAnswer(chat, prompt))


class ChatAnswer(Answer):
    """`chat.completion`, or `chat.completion.chunk` events of which a choice's first has a role."""

    id_prefix = "chatcmpl"
    object_name = "chat.completion"
    chunk_name = "chat.completion.chunk"
    text_start = b'"delta":{"content":'
    text_end = b'},"logprobs":null,"finish_reason":null}]}\n\n'

    def __init__(self, chat: ChatRequest, prompt: list[int]) -> None:
        super().__init__(chat, [prompt])
        self._prompt = prompt

    def _events(self, index: int, delta: Delta, *, first: bool) -> bytes:
        events = b""
        if first:
            opening = {"role": "assistant", "content": ""}
            choice = {"index": index, "delta": opening, "logprobs": None, "finish_reason": None}
            events += self._event([choice], **self._extra())
        if self._says_something(delta):
            content = {"delta": {"content": delta.text}}
            events += self._event([self._rendered(index, delta, content, self._logprobs(delta))])
        return events

    def _choice(self, index: int, choice: Delta) -> dict[str, Any]:
        message = {"role": "assistant", "content": choice.text, "refusal": None}
        return self._rendered(index, choice, {"message": message}, self._logprobs(choice))

    def _extra(self) -> dict[str, Any]:
        return {"prompt_token_ids": self._prompt} if self.request.return_token_ids else {}

    def _logprobs(self, delta: Delta) -> dict[str, Any] | None:
        count = self.request.sample_logprobs
        if count is None or delta.logprobs is None:
            return None
        return logprobs.for_chat(delta.logprobs, count)
