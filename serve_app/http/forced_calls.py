"""Calls that an answer has to consist of, as JSON: its form, and who reads the calls out of it.

A call by name is the function's arguments and nothing else. Where the model may choose but has to
call something, the answer is an array of `{"name": ..., "parameters": {...}}`, as in vLLM.
"""

import re
from collections.abc import Sequence
from typing import Any, Protocol

from deployments.messages import StructuredOutputs
from deployments.speech import CallPiece, Reader, Said
from serve_app.http.schemas import compact_json, with_root_at
from serve_app.http.tools import Tool

_HEADER = re.compile(r'\s*(?:\[|\}\s*,)\s*\{\s*"name"\s*:\s*"([^"]*)"\s*,\s*"parameters"\s*:\s*\{')
_SPACES = re.compile(r"\s+")
_MARK = re.compile(r'["\\{}\[\]]')


def form_of_calls(tools: Sequence[Tool], *, parallel: bool) -> StructuredOutputs:
    """One call of one of `tools`, or several if they may be `parallel`."""
    names = [tool.function.name for tool in tools]
    schema: dict[str, Any] = {
        "type": "array",
        "minItems": 1,
        "items": {"anyOf": [_form_of_call(name) for name in names]},
        # What a function's schema refers to stays within it.
        "$defs": {
            name: with_root_at(f"#/$defs/{name}", tool.function.argument_schema)
            for name, tool in zip(names, tools, strict=True)
        },
    }
    if not parallel:
        schema["maxItems"] = 1
    return StructuredOutputs(json=compact_json(schema))


def _form_of_call(name: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "name": {"const": name},
            "parameters": {"$ref": f"#/$defs/{name}"},
        },
        "required": ["name", "parameters"],
        "additionalProperties": False,
    }


class NamedCall:
    """Reads one call: all the text is its arguments."""

    def __init__(self, name: str) -> None:
        self._name: str | None = name

    def read(self, text: str) -> Said:
        """What `text` adds to the call."""
        if not text:
            return Said()
        name, self._name = self._name, None
        return Said(calls=[CallPiece(0, text, name)])


class RequiredCalls:
    """Reads calls out of an array that comes in pieces; looks at each character once."""

    def __init__(self) -> None:
        self._index = -1
        self._before = ""
        """What has come since the last call's arguments and is not yet the head of the next."""
        self._depth = 0
        """How many brackets of the arguments are open; 0 between calls."""
        self._quoted = False
        self._escaped = False

    def read(self, text: str) -> Said:
        """What `text` adds to the calls."""
        said = Said()
        text, at = self._before + text, 0
        self._before = ""
        while at < len(text):
            if self._depth:
                end = self._end_of_arguments(text, at)
                said.call(CallPiece(self._index, text[at:end]))
            elif head := _HEADER.match(text, at):
                end = head.end()
                self._index += 1
                self._depth = 1
                said.call(CallPiece(self._index, "{", head[1]))
            else:
                # However much whitespace comes, no more than a head is looked at again.
                self._before = _SPACES.sub(" ", text[at:])
                break
            at = end
        return said

    def _end_of_arguments(self, text: str, at: int) -> int:
        """Where the arguments that go on at `at` end in `text`, or its end."""
        if self._escaped:
            at += 1
            self._escaped = False
        while mark := _MARK.search(text, at):
            at = mark.end()
            if mark[0] == "\\":  # nothing but a string has any
                self._escaped = at == len(text)
                at += 1
            elif mark[0] == '"':
                self._quoted = not self._quoted
            elif not self._quoted:
                self._depth += 1 if mark[0] in "{[" else -1
                if not self._depth:
                    return at
        return len(text)


class CallReader(Protocol):
    """Reads calls out of a text that has nothing else."""

    def read(self, text: str) -> Said:
        """What `text` adds to the calls."""


class ForcedCalls:
    """Reads an answer that has to be calls as JSON, behind what a model thinks, if it does."""

    only_content_follows = False

    def __init__(self, calls: CallReader, thoughts: Reader | None) -> None:
        self._calls = calls
        self._thoughts = thoughts

    @property
    def reasoning_tokens(self) -> int:
        """How many of the tokens that have been read were for thinking."""
        return 0 if self._thoughts is None else self._thoughts.reasoning_tokens

    def read(self, text: str, token_ids: list[int], *, last: bool) -> Said:
        """What the next piece says."""
        if self._thoughts is None:
            return self._calls.read(text)
        return self._behind(self._thoughts.read(text, token_ids, last=last))

    def read_whole(self, text: str, token_ids: list[int]) -> Said:
        """What a whole answer says."""
        if self._thoughts is None:
            return self._calls.read(text)
        return self._behind(self._thoughts.read_whole(text, token_ids))

    def _behind(self, thought: Said) -> Said:
        said = self._calls.read(thought.content)
        said.reasoning = thought.reasoning
        return said
