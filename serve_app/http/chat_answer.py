"""What a chat answers, written down: text, or the call of one tool."""

import uuid
from collections.abc import Sequence
from typing import Any

from deployments.messages import Delta
from serve_app.http import logprobs
from serve_app.http.answer import Answer
from serve_app.http.chat_request import ChatRequest
from serve_app.http.tools import Function


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
            events += self._opening(index)
        if self._says_something(delta):
            content = {"delta": self._delta(delta.text)}
            events += self._event([self._rendered(index, delta, content, self._logprobs(delta))])
        return events

    def _choice(self, index: int, choice: Delta) -> dict[str, Any]:
        message = {"role": "assistant", **self._message(index, choice.text), "refusal": None}
        return self._rendered(index, choice, {"message": message}, self._logprobs(choice))

    def _opening(self, index: int) -> bytes:
        """The events that come before the first of a choice's text."""
        return self._opening_event(index, {"role": "assistant", "content": ""}, **self._extra())

    def _delta(self, text: str) -> dict[str, Any]:
        return {"content": text}

    def _message(self, index: int, text: str) -> dict[str, Any]:
        return {"content": text}

    def _opening_event(self, index: int, delta: dict[str, Any], **extra: Any) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
        return self._event([choice], **extra)

    def _extra(self) -> dict[str, Any]:
        return {"prompt_token_ids": self._prompt} if self.request.return_token_ids else {}

    def _of_prompt(self, choices: Sequence[Delta]) -> dict[str, Any]:
        count = self.request.prompt_logprobs
        if count is None:
            return {}
        return {"prompt_logprobs": logprobs.for_prompt(choices[0].prompt_logprobs or (), count)}

    def _logprobs(self, delta: Delta) -> dict[str, Any] | None:
        count = self.request.sample_logprobs
        if count is None or delta.logprobs is None:
            return None
        name = logprobs.name_of(self.request.return_tokens_as_token_ids)
        return logprobs.for_chat(delta.logprobs, count, name)


class ToolCallAnswer(ChatAnswer):
    """The same for a named tool: all the text is the arguments of a call, one for each choice.

    As OpenAI has it, the finish reason of a call that was asked for by name is `stop`.
    """

    text_start = b'"delta":{"tool_calls":[{"index":0,"function":{"arguments":'
    text_end = b'}}]},"logprobs":null,"finish_reason":null}]}\n\n'

    def __init__(self, chat: ChatRequest, prompt: list[int], function: Function) -> None:
        super().__init__(chat, prompt)
        self._name = function.name
        self._call_ids = [f"call_{uuid.uuid4().hex}" for _ in range(chat.n)]

    def _opening(self, index: int) -> bytes:
        role = {"role": "assistant", "content": None}
        call = {"tool_calls": [{"index": 0, **self._call(index, "")}]}
        return self._opening_event(index, role, **self._extra()) + self._opening_event(index, call)

    def _delta(self, text: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}

    def _message(self, index: int, text: str) -> dict[str, Any]:
        return {"content": None, "tool_calls": [self._call(index, text)]}

    def _call(self, index: int, arguments: str) -> dict[str, Any]:
        function = {"name": self._name, "arguments": arguments}
        return {"id": self._call_ids[index], "type": "function", "function": function}
