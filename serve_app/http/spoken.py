"""An answer that is more than text: thoughts, content and calls of tools, told apart."""

import asyncio
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from deployments.messages import Delta
from deployments.speech import CallPiece, Reader, Said
from serve_app.http.chat_answer import ChatAnswer
from serve_app.http.chat_request import ChatRequest

LONG_CHARS = 16_384
"""Longer answers are read in a thread: vLLM's parsers take up to 10 us for each character."""
_long_answers = ThreadPoolExecutor(1, "long-answers")


class SpokenAnswer(ChatAnswer):
    """The same as a reader tells it apart, one for each choice.

    As OpenAI has it, the finish reason of a call is `tool_calls`, but of one by name `stop`.
    """

    def __init__(
        self, chat: ChatRequest, prompt: list[int], readers: Sequence[Reader], *, reasons: bool
    ) -> None:
        super().__init__(chat, prompt)
        self._readers = readers
        self._reasons = reasons
        self._is_named = chat.function is not None
        self._calls_allowed = None if chat.parallel_tool_calls else 1
        self._opened = [False] * chat.n
        self._call_ids: list[dict[int, str]] = [{} for _ in range(chat.n)]

    async def written(self, choices: Sequence[Delta]) -> bytes:
        if sum(len(choice.text) for choice in choices) < LONG_CHARS:
            return self.whole(choices)
        # One at a time: they would take each other's interpreter, and the event loop's.
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_long_answers, self.whole, choices)

    def _events(self, index: int, delta: Delta, *, first: bool) -> bytes:
        last = delta.finish_reason is not None
        said = self._readers[index].read(delta.text, delta.token_ids, last=last)
        if not (said or last or not self._only_text):
            return b""
        events = b""
        if not self._opened[index]:
            self._opened[index] = True
            # Null where something else comes first, as OpenAI has it of calls.
            begins = "" if said.content or not said else None
            role = {"role": "assistant", "content": begins}
            events += self._opening_event(index, role, **self._extra())
        piece = {"delta": self._in_pieces(index, said)}
        rendered = self._rendered(index, delta, piece, self._logprobs(delta))
        return events + self._event([self._with_reason(index, rendered)])

    def _is_plain_from_now_on(self, index: int) -> bool:
        return self._only_text and self._readers[index].only_content_follows

    def _choice(self, index: int, choice: Delta) -> dict[str, Any]:
        said = self._readers[index].read_whole(choice.text, choice.token_ids)
        calls = self._calls(index, said)
        for call in calls:
            del call["index"]
        message: dict[str, Any] = {
            "role": "assistant",
            "content": said.content or (None if said else ""),
            "refusal": None,
            **_reasoning(said),
        }
        if calls:
            message["tool_calls"] = calls
        rendered = self._rendered(index, choice, {"message": message}, self._logprobs(choice))
        return self._with_reason(index, rendered)

    def _usage(self) -> dict[str, Any]:
        return super()._usage() | self._details(self._readers)

    def _usage_of(self, index: int) -> dict[str, Any]:
        return super()._usage_of(index) | self._details([self._readers[index]])

    def _details(self, readers: Sequence[Reader]) -> dict[str, Any]:
        if not self._reasons:
            return {}
        tokens = sum(reader.reasoning_tokens for reader in readers)
        return {"completion_tokens_details": {"reasoning_tokens": tokens}}

    def _in_pieces(self, index: int, said: Said) -> dict[str, Any]:
        delta: dict[str, Any] = _reasoning(said)
        if said.content:
            delta["content"] = said.content
        if calls := self._calls(index, said):
            delta["tool_calls"] = calls
        return delta

    def _calls(self, index: int, said: Said) -> list[dict[str, Any]]:
        begun = self._call_ids[index]
        calls = []
        for piece in said.calls:
            if self._calls_allowed is not None and piece.index >= self._calls_allowed:
                continue
            if piece.index in begun:
                calls.append({"index": piece.index, "function": {"arguments": piece.arguments}})
            elif piece.name is not None:
                begun[piece.index] = piece.id or f"call_{uuid.uuid4().hex}"
                calls.append(_new_call(piece, begun[piece.index]))
        return calls

    def _with_reason(self, index: int, rendered: dict[str, Any]) -> dict[str, Any]:
        if rendered["finish_reason"] == "stop" and self._call_ids[index] and not self._is_named:
            rendered["finish_reason"] = "tool_calls"
        return rendered


def _new_call(piece: CallPiece, call_id: str) -> dict[str, Any]:
    function = {"name": piece.name, "arguments": piece.arguments}
    return {"index": piece.index, "id": call_id, "type": "function", "function": function}


def _reasoning(said: Said) -> dict[str, Any]:
    """By vLLM's name and by the one that most others have for it."""
    if not said.reasoning:
        return {}
    return {"reasoning": said.reasoning, "reasoning_content": said.reasoning}
