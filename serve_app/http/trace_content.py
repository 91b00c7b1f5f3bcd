"""What clients and models have said, for a trace that is asked to have it.

In the shape of OpenTelemetry's conventions for GenAI: messages of parts, as JSON. An answer is the
text that the model has generated, before it is read for thoughts and calls of tools.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from serve_app.http.chat_request import ChatRequest
from serve_app.http.completion_request import CompletionRequest

if TYPE_CHECKING:
    from deployments.ticket import Ticket

Decode = Callable[[list[int]], str]
_json = msgspec.json.Encoder().encode


class Content:
    """One request's, which costs nothing before it is asked for at the end."""

    def __init__(self, asked: object, decode: Decode) -> None:
        self._asked = asked
        self._decode = decode

    def attributes(self, tickets: "Iterable[Ticket]") -> dict[str, str]:
        """The attributes of the span that stands for the model's work."""
        said = [
            {
                "role": "assistant",
                "parts": [_text(self._decode(ticket.emitted))],
                "finish_reason": ticket.finish_reason or "error",
            }
            for ticket in tickets
        ]
        return {
            "gen_ai.input.messages": _json(list(self._given())).decode(),
            "gen_ai.output.messages": _json(said).decode(),
        }

    def _given(self) -> Iterator[dict[str, Any]]:
        if isinstance(self._asked, ChatRequest):
            for message in self._asked.messages_for_template:
                yield {"role": message["role"], "parts": list(_parts(message))}
        elif isinstance(self._asked, CompletionRequest):
            for prompt in self._asked.prompts:
                text = prompt if isinstance(prompt, str) else self._decode(prompt)
                yield {"role": "user", "parts": [_text(text)]}


def _parts(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    content = message.get("content")
    if message["role"] == "tool":
        yield {"type": "tool_call_response", "id": message["tool_call_id"], "response": content}
        return
    if "reasoning" in message:
        yield {"type": "reasoning", "content": message["reasoning"]}
    if isinstance(content, str) and content:
        yield _text(content)
    for part in content if isinstance(content, list) else ():
        yield _text(part.get("text", ""))
    for call in message.get("tool_calls", ()):
        function = call["function"]
        yield {
            "type": "tool_call",
            "id": call.get("id"),
            "name": function["name"],
            "arguments": function["arguments"],
        }


def _text(content: str) -> dict[str, str]:
    return {"type": "text", "content": content}
