"""Valid bodies of requests with as many fields as go together, by path."""

from collections.abc import Mapping, Sequence
from typing import Any

from serve_app.http.app import ENDPOINTS
from serve_app.http.openapi_examples import EXAMPLES

_SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
_TOOL = {"type": "function", "function": {"name": "f", "description": "x", "parameters": _SCHEMA}}
_SAMPLING = {
    "n": 2,
    "max_tokens": 3,
    "min_tokens": 1,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 5,
    "min_p": 0.1,
    "presence_penalty": 0.1,
    "frequency_penalty": -0.1,
    "repetition_penalty": 1.1,
    "logit_bias": {"7": 1.5, "8": -100},
    "seed": 7,
    "stop": ["never", "ever"],
    "stop_token_ids": [9],
    "ignore_eos": True,
    "skip_special_tokens": False,
    "include_stop_str_in_output": True,
    "return_token_ids": True,
    "user": "me",
}
_STREAM = {"stream": True, "stream_options": {"include_usage": True}, "stream_interval": 2}
_TURNS = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": [{"type": "text", "text": "Hi"}], "name": "me"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "1", "content": "2"},
]


def _chats(model: str) -> list[dict[str, Any]]:
    plain = {"model": model, "messages": _TURNS[:2], "max_tokens": 3}
    named = {"type": "function", "function": {"name": "f"}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": _SCHEMA, "strict": True}}
    return [
        {**plain, **_SAMPLING},
        {**plain, **_SAMPLING, **_STREAM, "logprobs": True, "top_logprobs": 2},
        {**plain, "messages": _TURNS, "tools": [_TOOL], "tool_choice": "none"},
        {**plain, "tools": [_TOOL], "tool_choice": named, **_STREAM},
        {**plain, "response_format": form, "metadata": {"a": "b"}},
        {**plain, "response_format": {"type": "json_object"}, "max_completion_tokens": 3},
    ]


def _completions(model: str) -> list[dict[str, Any]]:
    plain = {"model": model, "prompt": "Hi", "max_tokens": 3}
    return [
        {**plain, **_SAMPLING, "logprobs": 2, "echo": True, "best_of": 2},
        {**plain, **_STREAM, "prompt": ["Hi", "You"]},
        {**plain, "prompt": [[65, 66], [67]], "max_tokens": 0, "echo": True},
        {**plain, "prompt": [65, 66, 67], "add_special_tokens": False},
    ]


def valid(model: str) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """For every endpoint that takes a body; all of them name `model`."""
    more = {"/v1/chat/completions": _chats(model), "/v1/completions": _completions(model)}
    bodies: dict[str, list[dict[str, Any]]] = {}
    for endpoint in ENDPOINTS:
        if endpoint.request is not None:
            examples = [dict(example) for example in EXAMPLES[endpoint.path].values()]
            known = [{**one, "model": model} if "model" in one else one for one in examples]
            bodies[endpoint.path] = [*known, *more.get(endpoint.path, [])]
    return bodies
