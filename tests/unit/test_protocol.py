import json
import math
from collections.abc import Callable
from typing import Any

import msgspec
import openai.types.chat.completion_create_params as openai_chat
import openai.types.completion_create_params as openai_completion
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.errors import BadRequest
from deployments.messages import Repetition, Sampling, StructuredOutputs
from serve_app.http.chat_request import ChatRequest
from serve_app.http.completion_request import CompletionRequest
from serve_app.http.protocol import with_seed_offset
from serve_app.limits import DEFAULT_LIMITS, Limits
from tests.unit.http_fixtures import parse_chat, parse_completion

Parse = Callable[[bytes], ChatRequest | CompletionRequest]

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
thorough = settings(unhurried, max_examples=200)

HELLO = [{"role": "user", "content": "Hello"}]
CHAT: dict[str, Any] = {"model": "m", "messages": HELLO}
COMPLETION: dict[str, Any] = {"model": "m", "prompt": "Hello"}
PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}


def chat(**fields: Any) -> ChatRequest:
    return parse_chat(json.dumps({**CHAT, **fields}).encode())


def completion(**fields: Any) -> CompletionRequest:
    return parse_completion(json.dumps({**COMPLETION, **fields}).encode())


def message(**fields: Any) -> dict[str, Any]:
    return {"messages": [{**HELLO[0], **fields}]}


def schema_format(schema: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, **fields}}


def nested(depth: int) -> dict[str, Any]:
    """A schema of so many objects and arrays in each other."""
    innermost: dict[str, Any] | list[Any] = {}
    for level in range(depth - 1, 0, -1):
        innermost = {"items": innermost} if level % 2 else [innermost]
    assert isinstance(innermost, dict)
    return innermost


def schema_of_bytes(size: int) -> dict[str, Any]:
    """A schema that has so many as compact JSON, in characters of two bytes each or a half."""
    frame = len('{"title":""}')
    text = "é" * ((size - frame) // 2) + "x" * ((size - frame) % 2)
    return {"title": text}


def sampling_of(request: ChatRequest | CompletionRequest, **default: Any) -> Sampling:
    return request.sampling(default=default, max_tokens=1000)


TYPE, VALUE, UNSUPPORTED = "invalid_type", "invalid_value", "unsupported_parameter"
BAD_ON_BOTH: list[tuple[dict[str, Any], str, str]] = [
    ({"model": None}, "model", "missing_required_parameter"),
    ({"model": ""}, "model", "invalid_value"),
    ({"model": 7}, "model", "invalid_type"),
    ({"model": "m" * 257}, "model", "invalid_value"),
    ({"stream": 1}, "stream", "invalid_type"),
    ({"stream": "true"}, "stream", "invalid_type"),
    ({"stream_options": {}}, "stream_options", "invalid_value"),
    ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
    ({"stream": True, "stream_options": []}, "stream_options", "invalid_type"),
    ({"stream_interval": 2}, "stream_interval", "invalid_value"),
    ({"stream": True, "stream_interval": 0}, "stream_interval", "invalid_value"),
    ({"stream": True, "stream_interval": "2"}, "stream_interval", "invalid_type"),
    (
        {"stream": True, "stream_options": {"include_usage": 1}},
        "stream_options.include_usage",
        "invalid_type",
    ),
    (
        {"stream": True, "stream_options": {"continuous_usage_stats": True}},
        "stream_options.continuous_usage_stats",
        "invalid_value",
    ),
    (
        {"stream": True, "stream_options": {"include_obfuscation": 1}},
        "stream_options.include_obfuscation",
        "invalid_type",
    ),
    ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x", "unknown_parameter"),
    ({"max_tokens": True}, "max_tokens", "invalid_type"),
    ({"max_tokens": 5.0}, "max_tokens", "invalid_type"),
    ({"max_tokens": "5"}, "max_tokens", "invalid_type"),
    ({"max_tokens": 0}, "max_tokens", "invalid_value"),
    ({"max_tokens": -1}, "max_tokens", "invalid_value"),
    ({"max_tokens": 2**31}, "max_tokens", "invalid_value"),
    ({"min_tokens": -1}, "min_tokens", "invalid_value"),
    ({"min_tokens": 6, "max_tokens": 5}, "min_tokens", "invalid_value"),
    ({"temperature": "1"}, "temperature", "invalid_type"),
    ({"temperature": True}, "temperature", "invalid_type"),
    ({"temperature": []}, "temperature", "invalid_type"),
    ({"temperature": -0.1}, "temperature", "invalid_value"),
    ({"temperature": 2.1}, "temperature", "invalid_value"),
    ({"temperature": 10**400}, "temperature", "invalid_type"),
    ({"top_p": 0}, "top_p", "invalid_value"),
    ({"top_p": 1.1}, "top_p", "invalid_value"),
    ({"top_k": -2}, "top_k", "invalid_value"),
    ({"top_k": 1.0}, "top_k", "invalid_type"),
    ({"top_k": 2**31}, "top_k", "invalid_value"),
    ({"min_p": -0.1}, "min_p", "invalid_value"),
    ({"min_p": 1.1}, "min_p", "invalid_value"),
    ({"presence_penalty": 2.1}, "presence_penalty", "invalid_value"),
    ({"frequency_penalty": -2.1}, "frequency_penalty", "invalid_value"),
    ({"repetition_penalty": 0}, "repetition_penalty", "invalid_value"),
    ({"seed": 2**63}, "seed", "invalid_value"),
    ({"seed": -(2**63) - 1}, "seed", "invalid_value"),
    ({"seed": 1.0}, "seed", "invalid_type"),
    ({"n": 0}, "n", "invalid_value"),
    ({"n": 9}, "n", "invalid_value"),
    ({"n": True}, "n", "invalid_type"),
    ({"stop": ""}, "stop", "invalid_value"),
    ({"stop": 1}, "stop", "invalid_type"),
    ({"stop": ["a", ""]}, "stop[1]", "invalid_value"),
    ({"stop": ["a", None]}, "stop[1]", "invalid_type"),
    ({"stop": ["a"] * 5}, "stop", "invalid_value"),
    ({"stop": "a" * 1025}, "stop", "invalid_value"),
    ({"stop_token_ids": 7}, "stop_token_ids", "invalid_type"),
    ({"stop_token_ids": [1, -1]}, "stop_token_ids[1]", "invalid_value"),
    ({"stop_token_ids": [True]}, "stop_token_ids[0]", "invalid_type"),
    ({"stop_token_ids": [1] * 65}, "stop_token_ids", "invalid_value"),
    ({"ignore_eos": "no"}, "ignore_eos", "invalid_type"),
    ({"skip_special_tokens": 0}, "skip_special_tokens", "invalid_type"),
    ({"spaces_between_special_tokens": 0}, "spaces_between_special_tokens", "invalid_type"),
    ({"include_stop_str_in_output": []}, "include_stop_str_in_output", "invalid_type"),
    ({"return_token_ids": 1}, "return_token_ids", "invalid_type"),
    ({"add_special_tokens": 1}, "add_special_tokens", "invalid_type"),
    ({"logit_bias": []}, "logit_bias", "invalid_type"),
    ({"logit_bias": {"word": 1}}, "logit_bias.word", "invalid_value"),
    ({"logit_bias": {"-1": 1}}, "logit_bias.-1", "invalid_value"),
    ({"logit_bias": {"07": 1}}, "logit_bias.07", "invalid_value"),
    ({"logit_bias": {"9999999999": 1}}, "logit_bias.9999999999", "invalid_value"),
    ({"logit_bias": {"7": "1"}}, "logit_bias.7", "invalid_type"),
    ({"logit_bias": {"7": None}}, "logit_bias.7", "invalid_type"),
    ({"logit_bias": {"7": 100.5}}, "logit_bias.7", "invalid_value"),
    ({"logit_bias": {str(i): 1 for i in range(1025)}}, "logit_bias", "invalid_value"),
    ({"user": 7}, "user", "invalid_type"),
    ({"use_beam_search": True}, "use_beam_search", "unsupported_parameter"),
    ({"use_beam_search": 0}, "use_beam_search", "unsupported_parameter"),
    ({"length_penalty": 0.9}, "length_penalty", "unsupported_parameter"),
    ({"logprob_token_ids": [1]}, "logprob_token_ids", "unsupported_parameter"),
    ({"cache_salt": "x"}, "cache_salt", "unsupported_parameter"),
    ({"kv_transfer_params": {}}, "kv_transfer_params", "unsupported_parameter"),
    ({"vllm_xargs": {}}, "vllm_xargs", "unsupported_parameter"),
    ({"watermarking": False}, "watermarking", "unsupported_parameter"),
    ({"priority": 1.0}, "priority", "invalid_type"),
    ({"priority": 2**63}, "priority", "invalid_value"),
    ({"request_id": ""}, "request_id", "invalid_value"),
    ({"request_id": "x" * 257}, "request_id", "invalid_value"),
    ({"session_id": 7}, "session_id", "invalid_type"),
    ({"allowed_token_ids": []}, "allowed_token_ids", "invalid_value"),
    ({"allowed_token_ids": [1, -1]}, "allowed_token_ids[1]", "invalid_value"),
    ({"allowed_token_ids": [1] * 4097}, "allowed_token_ids", "invalid_value"),
    ({"bad_words": "word"}, "bad_words", "invalid_type"),
    ({"bad_words": ["word", ""]}, "bad_words[1]", "invalid_value"),
    ({"bad_words": [" "]}, "bad_words[0]", "invalid_value"),
    ({"bad_words": ["x" * 257]}, "bad_words[0]", "invalid_value"),
    ({"bad_words": ["word"] * 33}, "bad_words", "invalid_value"),
    ({"prompt_logprobs": -1}, "prompt_logprobs", "invalid_value"),
    ({"prompt_logprobs": 21}, "prompt_logprobs", "invalid_value"),
    ({"prompt_logprobs": True}, "prompt_logprobs", "invalid_type"),
    ({"prompt_logprobs": 0, "stream": True}, "prompt_logprobs", "invalid_value"),
    ({"truncate_prompt_tokens": 0}, "truncate_prompt_tokens", "invalid_value"),
    ({"truncate_prompt_tokens": -2}, "truncate_prompt_tokens", "invalid_value"),
    ({"truncation_side": "left"}, "truncation_side", "invalid_value"),
    ({"truncate_prompt_tokens": 1, "truncation_side": "top"}, "truncation_side", "invalid_value"),
    ({"return_tokens_as_token_ids": True}, "return_tokens_as_token_ids", "invalid_value"),
    ({"repetition_detection": []}, "repetition_detection", "invalid_type"),
    (
        {"repetition_detection": {"max_pattern_size": 2}},
        "repetition_detection.min_count",
        "invalid_value",
    ),
    (
        {"repetition_detection": {"max_pattern_size": 129, "min_count": 2}},
        "repetition_detection.max_pattern_size",
        "invalid_value",
    ),
    (
        {"repetition_detection": {"min_pattern_size": 1}},
        "repetition_detection.min_pattern_size",
        "invalid_value",
    ),
    ({"structured_outputs": {}}, "structured_outputs", "invalid_value"),
    ({"structured_outputs": []}, "structured_outputs", "invalid_type"),
    ({"structured_outputs": {"regex": None}}, "structured_outputs", "invalid_value"),
    (
        {"structured_outputs": {"regex": "a", "choice": ["a"]}},
        "structured_outputs",
        "invalid_value",
    ),
    ({"structured_outputs": {"json": 7}}, "structured_outputs.json", "invalid_type"),
    ({"structured_outputs": {"json": "{"}}, "structured_outputs.json", "invalid_value"),
    ({"structured_outputs": {"json": nested(17)}}, "structured_outputs.json", "invalid_value"),
    ({"structured_outputs": {"json": {"not": {}}}}, "structured_outputs.json", UNSUPPORTED),
    ({"structured_outputs": {"json_object": False}}, "structured_outputs.json_object", VALUE),
    ({"structured_outputs": {"json_object": 1}}, "structured_outputs.json_object", "invalid_type"),
    ({"structured_outputs": {"regex": "a" * 257}}, "structured_outputs.regex", VALUE),
    ({"structured_outputs": {"regex": "a\0"}}, "structured_outputs.regex", VALUE),
    ({"structured_outputs": {"choice": []}}, "structured_outputs.choice", VALUE),
    ({"structured_outputs": {"choice": "a"}}, "structured_outputs.choice", "invalid_type"),
    ({"structured_outputs": {"choice": ["a", 1]}}, "structured_outputs.choice[1]", "invalid_type"),
    ({"structured_outputs": {"choice": ["a"] * 257}}, "structured_outputs.choice", VALUE),
    ({"structured_outputs": {"choice": ["a" * 2**16, "b"]}}, "structured_outputs.choice", VALUE),
    ({"structured_outputs": {"grammar": "\n "}}, "structured_outputs.grammar", VALUE),
    ({"structured_outputs": {"grammar": "é" * 8193}}, "structured_outputs.grammar", VALUE),
    ({"structured_outputs": {"structural_tag": "7"}}, "structured_outputs.structural_tag", TYPE),
    (
        {"structured_outputs": {"structural_tag": {"structures": [{"begin": "<"}]}}},
        "structured_outputs.structural_tag",
        "invalid_value",
    ),
    (
        {"structured_outputs": {"regex": "a", "disable_any_whitespace": True}},
        "structured_outputs.disable_any_whitespace",
        "unsupported_parameter",
    ),
    (
        {"structured_outputs": {"regex": "a", "whitespace_pattern": "x"}},
        "structured_outputs.whitespace_pattern",
        "unsupported_parameter",
    ),
    (
        {"structured_outputs": {"regex": "a"}, "response_format": {"type": "json_object"}},
        "structured_outputs",
        "invalid_value",
    ),
    ({"structured_outputs": {"regex": "a"}, "ignore_eos": True}, "ignore_eos", "invalid_value"),
    ({"response_format": {}}, "response_format.type", "missing_required_parameter"),
    ({"response_format": "text"}, "response_format", "invalid_type"),
    ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
    ({"response_format": {"type": True}}, "response_format.type", "invalid_value"),
    (
        {"response_format": {"type": "structural_tag"}},
        "response_format.format",
        "missing_required_parameter",
    ),
    (
        {"response_format": {"type": "structural_tag", "structures": []}},
        "response_format.format",
        "missing_required_parameter",
    ),
    (
        {"response_format": {"type": "structural_tag", "format": {}, "triggers": []}},
        "response_format.format",
        "missing_required_parameter",
    ),
    (
        {"response_format": {"type": "text", "triggers": []}},
        "response_format.triggers",
        "invalid_value",
    ),
    (
        {"response_format": {"type": "json_object", "schema": {}}},
        "response_format.schema",
        "unknown_parameter",
    ),
    (
        {"response_format": {"type": "json_schema"}},
        "response_format.json_schema",
        "missing_required_parameter",
    ),
    (
        {"response_format": {"type": "text", "json_schema": {"name": "x"}}},
        "response_format.json_schema",
        "invalid_value",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": []}},
        "response_format.json_schema",
        "invalid_type",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
        "response_format.json_schema.name",
        "missing_required_parameter",
    ),
    (
        {"response_format": schema_format({}, name="two words")},
        "response_format.json_schema.name",
        "invalid_value",
    ),
    (
        {"response_format": schema_format({}, name="x" * 65)},
        "response_format.json_schema.name",
        "invalid_value",
    ),
    (
        {"response_format": schema_format({}, name="x\n")},
        "response_format.json_schema.name",
        "invalid_value",
    ),
    (
        {"response_format": schema_format({}, description=1)},
        "response_format.json_schema.description",
        "invalid_type",
    ),
    (
        {"response_format": schema_format({}, strict="true")},
        "response_format.json_schema.strict",
        "invalid_type",
    ),
    (
        {"response_format": schema_format({}, strictly=True)},
        "response_format.json_schema.strictly",
        "unknown_parameter",
    ),
    (
        {"response_format": schema_format({}, text=None)},  # our own name of `schema`
        "response_format.json_schema.text",
        "unknown_parameter",
    ),
    (
        {"response_format": schema_format(True)},
        "response_format.json_schema.schema",
        "invalid_type",
    ),
    (
        {"response_format": schema_format('{"type": "object"}')},
        "response_format.json_schema.schema",
        "invalid_type",
    ),
    (
        {"response_format": schema_format(schema_of_bytes(DEFAULT_LIMITS.schema_bytes + 1))},
        "response_format.json_schema.schema",
        "invalid_value",
    ),
    (
        {"response_format": schema_format(nested(DEFAULT_LIMITS.schema_depth + 1))},
        "response_format.json_schema.schema",
        "invalid_value",
    ),
    (
        {"response_format": schema_format(nested(190))},
        "response_format.json_schema.schema",
        "invalid_value",
    ),
    (
        {"response_format": {"type": "json_object"}, "ignore_eos": True},
        "ignore_eos",
        "invalid_value",
    ),
    (
        {"response_format": schema_format({}), "min_tokens": 1},
        "min_tokens",
        "invalid_value",
    ),
    ({"max_token": 5}, "max_token", "unknown_parameter"),
    ({"max_token": None}, "max_token", "unknown_parameter"),
    ({f"x{i}": i for i in range(1000)}, "x0", "unknown_parameter"),
]

BAD_CHATS: list[tuple[dict[str, Any], str, str]] = [
    ({"messages": None}, "messages", "missing_required_parameter"),
    ({"messages": []}, "messages", "invalid_value"),
    ({"messages": "Hello"}, "messages", "invalid_type"),
    ({"messages": HELLO * 2049}, "messages", "invalid_value"),
    ({"messages": [*HELLO, "Hello"]}, "messages[1]", "invalid_type"),
    (message(role=None), "messages[0].role", "missing_required_parameter"),
    (message(role="robot"), "messages[0].role", "invalid_value"),
    (message(role="function"), "messages[0].role", "unsupported_parameter"),
    (message(role=["user"]), "messages[0].role", "invalid_value"),
    (message(role="assistant", content=None), "messages[0].content", "missing_required_parameter"),
    (message(content=7), "messages[0].content", "invalid_type"),
    (message(content={"text": "Hello"}), "messages[0].content", "invalid_type"),
    (message(content=[]), "messages[0].content", "invalid_value"),
    (message(content=["Hello"]), "messages[0].content[0]", "invalid_type"),
    (
        message(content=[{"type": "text", "text": "Look"}, PNG]),
        "messages[0].content[1].type",
        "unsupported_parameter",
    ),
    (message(content=[{"type": "smell"}]), "messages[0].content[0].type", "invalid_value"),
    (
        message(content=[{"type": "text"}]),
        "messages[0].content[0].text",
        "missing_required_parameter",
    ),
    (
        message(content=[{"type": "text", "text": 7}]),
        "messages[0].content[0].text",
        "invalid_type",
    ),
    (
        message(content=[{"type": "text", "text": "a", "parts": 1}]),
        "messages[0].content[0].parts",
        "unknown_parameter",
    ),
    (message(mood="good"), "messages[0].mood", "unknown_parameter"),
    ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens", "invalid_value"),
    ({"max_completion_tokens": 0}, "max_completion_tokens", "invalid_value"),
    ({"max_completion_tokens": 5, "min_tokens": 6}, "min_tokens", "invalid_value"),
    ({"logprobs": 5}, "logprobs", "invalid_type"),
    ({"top_logprobs": 5}, "top_logprobs", "invalid_value"),
    ({"logprobs": False, "top_logprobs": 0}, "top_logprobs", "invalid_value"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "invalid_value"),
    ({"logprobs": True, "top_logprobs": -1}, "top_logprobs", "invalid_value"),
    (
        {"add_generation_prompt": True, "continue_final_message": True},
        "continue_final_message",
        "invalid_value",
    ),
    ({"metadata": "x"}, "metadata", "invalid_type"),
    ({"metadata": {"text": 1}}, "metadata.text", "invalid_type"),
    ({"metadata": {"k" * 65: "v"}}, "metadata." + "k" * 65, "invalid_value"),
    ({"metadata": {"k": "v" * 513}}, "metadata.k", "invalid_value"),
    ({"metadata": {str(i): "v" for i in range(17)}}, "metadata", "invalid_value"),
    ({"store": True}, "store", "unsupported_parameter"),
    ({"functions": [{}]}, "functions", "unsupported_parameter"),
    ({"function_call": "auto"}, "function_call", "unsupported_parameter"),
    ({"parallel_tool_calls": 1}, "parallel_tool_calls", "invalid_type"),
    ({"reasoning_effort": "huge"}, "reasoning_effort", "invalid_value"),
    ({"reasoning_effort": 1}, "reasoning_effort", "invalid_value"),
    ({"include_reasoning": "no"}, "include_reasoning", "invalid_type"),
    ({"documents": "Old"}, "documents", "invalid_type"),
    ({"documents": ["Old"]}, "documents[0]", "invalid_type"),
    ({"documents": [{"text": 1}]}, "documents[0].text", "invalid_type"),
    ({"chat_template": "{{ x }}"}, "chat_template", "unsupported_parameter"),
    ({"thinking_token_budget": -2}, "thinking_token_budget", "invalid_value"),
    ({"thinking_token_budget": True}, "thinking_token_budget", "invalid_type"),
    ({"service_tier": "scale"}, "service_tier", "unsupported_parameter"),
    ({"service_tier": "best"}, "service_tier", "invalid_value"),
    ({"prompt_cache_key": "x" * 257}, "prompt_cache_key", "invalid_value"),
    ({"prompt_cache_retention": "24h"}, "prompt_cache_retention", "unsupported_parameter"),
    ({"safety_identifier": "x" * 129}, "safety_identifier", "invalid_value"),
    ({"return_prompt_text": True}, "return_prompt_text", "unsupported_parameter"),
    ({"modalities": ["text", "audio"]}, "modalities", "unsupported_parameter"),
    ({"echo": True}, "echo", "unsupported_parameter"),
    ({"chat_template": "{{ 1 }}"}, "chat_template", "unsupported_parameter"),
    ({"prompt": "Hello"}, "prompt", "unknown_parameter"),
]

BAD_COMPLETIONS: list[tuple[dict[str, Any], str, str]] = [
    ({"prompt": None}, "prompt", "missing_required_parameter"),
    ({"prompt": ""}, "prompt", "invalid_value"),
    ({"prompt": []}, "prompt", "invalid_value"),
    ({"prompt": 7}, "prompt", "invalid_type"),
    ({"prompt": {"text": "Hello"}}, "prompt", "invalid_type"),
    ({"prompt": [1, -1]}, "prompt[1]", "invalid_value"),
    ({"prompt": [1, 2**31]}, "prompt[1]", "invalid_value"),
    ({"prompt": [1, "Hello"]}, "prompt[1]", "invalid_type"),
    ({"prompt": [True]}, "prompt[0]", "invalid_type"),
    ({"prompt": [1.5]}, "prompt[0]", "invalid_type"),
    ({"prompt": [None]}, "prompt[0]", "invalid_type"),
    ({"prompt": ["Hello", 1]}, "prompt[1]", "invalid_type"),
    ({"prompt": ["Hello", ""]}, "prompt[1]", "invalid_value"),
    ({"prompt": ["Hello"] * 17}, "prompt", "invalid_value"),
    ({"prompt": [[1], []]}, "prompt[1]", "invalid_value"),
    ({"prompt": [[1], [1, "a"]]}, "prompt[1][1]", "invalid_type"),
    ({"prompt": [[1], "Hello"]}, "prompt[1]", "invalid_type"),
    ({"prompt": [[1]] * 17}, "prompt", "invalid_value"),
    ({"logprobs": True}, "logprobs", "invalid_type"),
    ({"logprobs": 21}, "logprobs", "invalid_value"),
    ({"logprobs": -1}, "logprobs", "invalid_value"),
    ({"echo": 1}, "echo", "invalid_type"),
    ({"echo": True, "max_tokens": 0, "min_tokens": 1}, "min_tokens", "invalid_value"),
    ({"best_of": 2}, "best_of", "invalid_value"),
    ({"best_of": 1, "n": 2}, "best_of", "invalid_value"),
    ({"best_of": "1"}, "best_of", "invalid_type"),
    ({"suffix": ""}, "suffix", "unsupported_parameter"),
    ({"max_completion_tokens": 5}, "max_completion_tokens", "unknown_parameter"),
    ({"messages": HELLO}, "messages", "unknown_parameter"),
]

BAD_BODIES = [
    (b"", "invalid_json"),
    (b"{", "invalid_json"),
    (b"{} {}", "invalid_json"),
    (b"{'model': 'm'}", "invalid_json"),
    (b'{"model": "\xff"}', "invalid_json"),
    (rb'{"model": "\ud800"}', "invalid_json"),
    ('{"model": "m"}'.encode("utf-16"), "invalid_json"),
    (b'\xef\xbb\xbf{"model": "m"}', "invalid_json"),
    (b'{"temperature": NaN}', "invalid_json"),
    (b'{"temperature": -Infinity}', "invalid_json"),
    (b'{"seed": ' + b"1" * 5000 + b"}", "invalid_json"),
    (b"[" * 200_000, "invalid_json"),
    (b'{"prompt":' + b"[" * 1000 + b"]" * 1000 + b"}", "invalid_json"),
    (b'{"a":' * 200_000, "invalid_json"),
    (b"null", "invalid_type"),
    (b'"Hello"', "invalid_type"),
    (b'[{"model": "m"}]', "invalid_type"),
]


def _name(value: object) -> str | None:
    return json.dumps(value)[:60] if isinstance(value, dict) else None


@pytest.mark.parametrize(("fields", "param", "code"), BAD_ON_BOTH + BAD_CHATS, ids=_name)
def test_a_bad_chat_is_refused_with_the_field_named(
    fields: dict[str, Any], param: str, code: str
) -> None:
    with pytest.raises(BadRequest) as refusal:
        chat(**fields)
    assert (refusal.value.param, refusal.value.code) == (param, code)
    assert refusal.value.message.startswith(f"'{param}' ")


@pytest.mark.parametrize(("fields", "param", "code"), BAD_ON_BOTH + BAD_COMPLETIONS, ids=_name)
def test_a_bad_completion_is_refused_with_the_field_named(
    fields: dict[str, Any], param: str, code: str
) -> None:
    with pytest.raises(BadRequest) as refusal:
        completion(**fields)
    assert (refusal.value.param, refusal.value.code) == (param, code)
    assert refusal.value.message.startswith(f"'{param}' ")


@pytest.mark.parametrize("parse", [parse_chat, parse_completion])
@pytest.mark.parametrize(("body", "code"), BAD_BODIES, ids=lambda value: repr(value)[:40])
def test_a_body_that_is_no_json_object_is_refused(parse: Parse, body: bytes, code: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        parse(body)
    assert (refusal.value.param, refusal.value.code) == (None, code)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"max_tokens": True}, "'max_tokens' must be an integer, but it is true."),
        ({"temperature": "1"}, "'temperature' must be a number, but it is the string \"1\"."),
        ({"temperature": 3}, "'temperature' must be at most 2, but it is 3."),
        ({"stop": {}}, "'stop' must be a string or an array of strings, but it is an object."),
        ({"n": None, "x": 1}, "'x' is not a known parameter."),
        ({"messages": None}, "'messages' is required."),
        (
            {"messages": []},
            "'messages' must have a length of at least 1, but it is an empty array.",
        ),
        (
            message(content=7),
            "'messages[0].content' must be a string or an array of text parts, but it is 7.",
        ),
        (
            {"function_call": "auto"},
            "'function_call' is not supported yet: it must be left out, or be null or \"none\".",
        ),
    ],
    ids=_name,
)
def test_a_refusal_says_what_was_expected_and_what_came(
    fields: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BadRequest) as refusal:
        chat(**fields)
    assert refusal.value.message == sentence


@pytest.mark.parametrize(
    "fields",
    [{"seed": "x" * 10_000}, {"x" * 10_000: 1}, {"logit_bias": {"x" * 10_000: 1}}, {"n": 10**4000}],
    ids=["a value", "a key", "a nested key", "a number"],
)
def test_a_refusal_shows_little_of_what_came(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as refusal:
        chat(**fields)
    assert len(refusal.value.message) < 200
    assert len(refusal.value.param or "") < 120


def test_an_infinite_number_written_out_is_refused() -> None:
    with pytest.raises(BadRequest) as refusal:
        parse_chat(b'{"model": "m", "messages": [], "temperature": 1e999}')
    assert (refusal.value.param, refusal.value.code) == ("temperature", "invalid_value")


def test_the_last_of_two_equal_keys_counts() -> None:
    assert parse_completion(b'{"model": "a", "prompt": "b", "model": "c"}').model == "c"


@pytest.mark.parametrize("options", [openai_chat, openai_completion])
def test_every_parameter_of_openais_client_is_known(options: Any) -> None:
    request = ChatRequest if options is openai_chat else CompletionRequest
    streaming = "CompletionCreateParamsStreaming"
    base = "CompletionCreateParamsBase"
    theirs = getattr(options, base).__annotations__ | getattr(options, streaming).__annotations__
    assert theirs.keys() <= request.model_fields.keys() | request.unsupported.keys()


@pytest.mark.parametrize(
    ("request_type", "parse", "body"),
    [(ChatRequest, parse_chat, CHAT), (CompletionRequest, parse_completion, COMPLETION)],
)
def test_null_means_not_given_for_every_optional_field(
    request_type: type[ChatRequest | CompletionRequest], parse: Parse, body: dict[str, Any]
) -> None:
    names = request_type._keys | request_type.unsupported.keys()
    nulls = dict.fromkeys(names - body.keys())
    assert parse(json.dumps(nulls | body).encode()) == parse(json.dumps(body).encode())


def test_null_means_not_given_in_nested_objects() -> None:
    request = chat(
        **message(name=None, tool_calls=None, refusal=None),
        stream=True,
        stream_options={"include_usage": None, "continuous_usage_stats": None},
    )
    assert not request.include_usage


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": "none"},
        {"function_call": "none"},
        {"parallel_tool_calls": True},
        {"service_tier": "auto"},
        {"service_tier": "flex"},
        {"service_tier": "fast"},
        {"prompt_cache_key": "k"},
        {"prompt_cache_retention": "in_memory"},
        {"prompt_cache_options": {"mode": "implicit"}},
        {"safety_identifier": "someone"},
        {"session_id": "a session"},
        {"request_id": "mine"},
        {"length_penalty": 1},
        {"bad_words": []},
        {"repetition_detection": {}},
        {"priority": -5},
        {"truncate_prompt_tokens": -1, "truncation_side": "right"},
        {"store": False},
        {"modalities": ["text"]},
        {"echo": False},
        {"response_format": {"type": "text"}},
        {"stream": True, "stream_options": {"continuous_usage_stats": False}},
        {"user": "someone"},
        {"metadata": {"k" * 64: "v" * 512}},
        {"logit_bias": {}},
        {"stop": []},
        message(annotations=[]),
    ],
    ids=_name,
)
def test_what_asks_for_nothing_changes_nothing(fields: dict[str, Any]) -> None:
    request = chat(**fields)
    assert sampling_of(request) == sampling_of(chat())
    assert request.messages_for_template == HELLO


def test_an_empty_message_is_a_message() -> None:
    assert chat(**message(content="")).messages_for_template == [{"role": "user", "content": ""}]


def test_usage_is_included_on_request() -> None:
    assert chat(stream=True, stream_options={"include_usage": True}).include_usage
    assert not chat(stream=True).include_usage


@pytest.mark.parametrize(
    ("fields", "opens"),
    [
        ({}, True),
        ({"add_generation_prompt": False}, False),
        ({"continue_final_message": True}, False),
        ({"continue_final_message": True, "add_generation_prompt": False}, False),
    ],
    ids=_name,
)
def test_the_template_opens_an_answer_unless_told_otherwise(
    fields: dict[str, Any], opens: bool
) -> None:
    assert chat(**fields).opens_answer is opens


def test_special_tokens_are_added_to_completions_and_left_to_templates_in_chats() -> None:
    assert completion().add_special_tokens
    assert not chat().add_special_tokens


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("Hello", ["Hello"]),
        (["Hello", "you"], ["Hello", "you"]),
        ([0, 7], [[0, 7]]),
        ([[0, 7], [1]], [[0, 7], [1]]),
    ],
)
def test_each_form_of_prompt_becomes_a_list_of_prompts(
    prompt: Any, prompts: list[str | list[int]]
) -> None:
    assert completion(prompt=prompt).prompts == prompts


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Sampling(max_tokens=1000)),
        ({"max_tokens": 5}, Sampling(max_tokens=5)),
        ({"max_completion_tokens": 5}, Sampling(max_tokens=5)),
        ({"max_tokens": 5, "max_completion_tokens": 5}, Sampling(max_tokens=5)),
        ({"max_tokens": 5000}, Sampling(max_tokens=5000)),
        ({"min_tokens": 5}, Sampling(max_tokens=1000, min_tokens=5)),
        ({"temperature": 0}, Sampling(max_tokens=1000, temperature=0.0)),
        ({"temperature": 2}, Sampling(max_tokens=1000, temperature=2.0)),
        ({"top_p": 1}, Sampling(max_tokens=1000, top_p=1.0)),
        ({"top_k": -1}, Sampling(max_tokens=1000, top_k=0)),
        ({"top_k": 40}, Sampling(max_tokens=1000, top_k=40)),
        ({"min_p": 0.1}, Sampling(max_tokens=1000, min_p=0.1)),
        ({"presence_penalty": -2}, Sampling(max_tokens=1000, presence_penalty=-2.0)),
        ({"frequency_penalty": 2}, Sampling(max_tokens=1000, frequency_penalty=2.0)),
        ({"repetition_penalty": 1.5}, Sampling(max_tokens=1000, repetition_penalty=1.5)),
        ({"seed": 2**63 - 1}, Sampling(max_tokens=1000, seed=2**63 - 1)),
        ({"seed": -1}, Sampling(max_tokens=1000, seed=None)),
        ({"stop": "a"}, Sampling(max_tokens=1000, stop=("a",))),
        ({"stop": ["a", "b"]}, Sampling(max_tokens=1000, stop=("a", "b"))),
        ({"stop_token_ids": [0, 1]}, Sampling(max_tokens=1000, stop_token_ids=(0, 1))),
        ({"ignore_eos": True}, Sampling(max_tokens=1000, ignore_eos=True)),
        ({"logprobs": False}, Sampling(max_tokens=1000, logprobs=None)),
        ({"logprobs": True}, Sampling(max_tokens=1000, logprobs=0)),
        ({"logprobs": True, "top_logprobs": 20}, Sampling(max_tokens=1000, logprobs=20)),
        ({"logit_bias": {"7": -100}}, Sampling(max_tokens=1000, logit_bias={7: -100.0})),
        ({"skip_special_tokens": False}, Sampling(max_tokens=1000, skip_special_tokens=False)),
        (
            {"spaces_between_special_tokens": False},
            Sampling(max_tokens=1000, spaces_between_special_tokens=False),
        ),
        (
            {"include_stop_str_in_output": True},
            Sampling(max_tokens=1000, include_stop_str_in_output=True),
        ),
        (
            {"stream": True, "stream_interval": 5},
            Sampling(max_tokens=1000, stream_interval=5),
        ),
        ({"n": 8}, Sampling(max_tokens=1000)),
        ({"prompt_logprobs": 0}, Sampling(max_tokens=1000, prompt_logprobs=0)),
        ({"allowed_token_ids": [7, 0]}, Sampling(max_tokens=1000, allowed_token_ids=(7, 0))),
        ({"bad_words": ["a", " b"]}, Sampling(max_tokens=1000, bad_words=("a", " b"))),
        (
            {"repetition_detection": {"max_pattern_size": 3, "min_count": 2}},
            Sampling(max_tokens=1000, repetition_detection=Repetition(3, 1, 2)),
        ),
    ],
    ids=_name,
)
def test_a_chat_is_sampled_as_it_asks(fields: dict[str, Any], expected: Sampling) -> None:
    assert sampling_of(chat(**fields)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Sampling(max_tokens=16)),
        ({"max_tokens": 100}, Sampling(max_tokens=100)),
        ({"logprobs": 0}, Sampling(max_tokens=16, logprobs=0)),
        ({"logprobs": 5}, Sampling(max_tokens=16, logprobs=5)),
        ({"echo": True}, Sampling(max_tokens=16)),
        ({"echo": True, "logprobs": 5}, Sampling(max_tokens=16, logprobs=5, prompt_logprobs=5)),
        ({"echo": True, "max_tokens": 0}, Sampling(max_tokens=1)),
        ({"best_of": 2, "n": 2}, Sampling(max_tokens=16)),
        ({"prompt_logprobs": 3}, Sampling(max_tokens=16, prompt_logprobs=3)),
        (
            {"prompt_logprobs": 3, "echo": True, "logprobs": 5},
            Sampling(max_tokens=16, logprobs=5, prompt_logprobs=5),
        ),
    ],
    ids=_name,
)
def test_a_completion_is_sampled_as_it_asks(fields: dict[str, Any], expected: Sampling) -> None:
    assert sampling_of(completion(**fields)) == expected


TAG = {"begin": "<f>", "schema": {"type": "object"}, "end": "</f>"}
OBJECT = {"type": "object", "properties": {"é": {"enum": [None, 1.5]}, "a": {}}}
OBJECT_TEXT = '{"type":"object","properties":{"é":{"enum":[null,1.5]},"a":{}}}'


@pytest.mark.parametrize("ask", [chat, completion])
@pytest.mark.parametrize(
    ("response_format", "expected"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "text", "json_schema": None}, None),
        ({"type": "json_object"}, StructuredOutputs(json_object=True)),
        (schema_format(OBJECT), StructuredOutputs(json=OBJECT_TEXT)),
        (schema_format({}), StructuredOutputs(json="{}")),
        (schema_format(None), StructuredOutputs(json_object=True)),
        (
            {"type": "structural_tag", "format": {"type": "any_text"}},
            StructuredOutputs(
                structural_tag='{"type":"structural_tag","format":{"type":"any_text"}}'
            ),
        ),
        (
            {"type": "structural_tag", "structures": [TAG], "triggers": ["<f>"]},
            StructuredOutputs(
                structural_tag='{"type":"structural_tag","structures":[{"begin":"<f>","schema":'
                '{"type":"object"},"end":"</f>"}],"triggers":["<f>"]}'
            ),
        ),
    ],
    ids=_name,
)
def test_the_form_of_an_answer_is_given_on(
    ask: Callable[..., ChatRequest | CompletionRequest],
    response_format: Any,
    expected: StructuredOutputs | None,
) -> None:
    sampling = sampling_of(ask(response_format=response_format))
    assert sampling.structured_outputs == expected


@pytest.mark.parametrize("ask", [chat, completion])
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"json": OBJECT}, StructuredOutputs(json=OBJECT_TEXT)),
        ({"json": json.dumps(OBJECT)}, StructuredOutputs(json=OBJECT_TEXT)),
        ({"json_object": True, "json": None}, StructuredOutputs(json_object=True)),
        ({"regex": ""}, StructuredOutputs(regex="")),
        ({"choice": ["a", ""]}, StructuredOutputs(choice=("a", ""))),
        ({"grammar": 'root ::= "a"'}, StructuredOutputs(grammar='root ::= "a"')),
        ({"structural_tag": '{"format": {}}'}, StructuredOutputs(structural_tag='{"format":{}}')),
        ({"structural_tag": {"format": {}}}, StructuredOutputs(structural_tag='{"format":{}}')),
        ({"regex": "a", "disable_any_whitespace": False}, StructuredOutputs(regex="a")),
    ],
    ids=_name,
)
def test_each_form_of_vllms_is_given_on(
    ask: Callable[..., ChatRequest | CompletionRequest],
    wanted: dict[str, Any],
    expected: StructuredOutputs,
) -> None:
    asked = ask(structured_outputs=wanted, response_format={"type": "text"})
    assert sampling_of(asked).structured_outputs == expected
    assert asked.form_field == "structured_outputs"


@pytest.mark.parametrize(
    "keyword",
    [
        {"not": {}},
        {"contains": {}},
        {"multipleOf": 2, "type": "number"},
        {"uniqueItems": True},
        {"allOf": [{}, {}]},
        {"pattern": "a", "maxLength": 2},
        {"format": "email", "minLength": 2},
        {"format": "date", "pattern": "a", "type": "string"},
        {"format": "binary", "type": ["null", "string"]},
        {"format": ["date"], "type": "string"},
        {"format": {}, "type": "string"},
        {"patternProperties": {"a": {}, "b": {}}},
        {"patternProperties": {"a": {}}, "properties": {"a": {}}},
        {"propertyNames": {}, "properties": {}},
        {"unevaluatedProperties": False, "propertyNames": {}},
        {"additionalProperties": False, "propertyNames": {}},
        {"if": {}, "then": {}},
        {"dependentSchemas": {}},
        {"dependentRequired": {"a": ["b"]}},
        {"dependencies": {"a": ["b"]}},
        {"$dynamicRef": "#a"},
        {"$ref": "https://example.org/schema"},
        {"$ref": "#anchor"},
        {"$ref": 7},
        {"maxLength": 2, "$ref": "#/$defs/a"},
        {"maxLength": 2, "anyOf": [{"type": "string"}, {"type": "null"}]},
        {"minimum": 5, "type": "integer", "enum": [1, 9]},
        {"items": {"type": "string"}, "const": []},
        {"properties": {"a": {}}, "type": "object", "anyOf": [{"type": "object"}]},
        {"required": ["a"], "allOf": [{"type": "object"}]},
        {"anyOf": [{"type": "string"}], "$ref": "#/$defs/a"},
        {"enum": [1], "oneOf": [{"type": "integer"}]},
        *({limit: 2} for limit in ("minimum", "exclusiveMaximum", "maxLength", "minItems")),
        {"pattern": "a"},
        {"format": "date"},
        {"additionalItems": False},
        {"maxProperties": 1},
        {"patternProperties": {"a": {"type": "string"}}},
        {"propertyNames": {"pattern": "a"}},
        {"required": ["a"]},
        {"required": ["a", "b"], "properties": {"a": {}}},
        {"required": ["a"], "type": "object", "additionalProperties": {"type": "string"}},
    ],
    ids=_name,
)
@pytest.mark.parametrize(
    "around",
    [
        lambda inner: inner,
        lambda inner: {"properties": {"properties": inner}},
        lambda inner: {"$defs": {"a": {"items": inner}}},
        lambda inner: {"anyOf": [{"type": "null"}, inner]},
        lambda inner: {"additionalProperties": inner},
    ],
    ids=["alone", "a property", "a definition", "an alternative", "another property"],
)
def test_a_schema_of_which_a_part_would_not_hold_is_refused(
    keyword: dict[str, Any], around: Callable[[Any], dict[str, Any]]
) -> None:
    with pytest.raises(BadRequest) as refusal:
        chat(response_format=schema_format(around(keyword)))
    assert refusal.value.param == "response_format.json_schema.schema"
    assert refusal.value.code == "unsupported_parameter"
    assert f'"{next(iter(keyword))}"' in refusal.value.message


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"not": {"type": "string"}, "if": {}, "$ref": {}}, "required": ["not"]},
        {"patternProperties": {"not": {}}, "type": "object"},
        {"$defs": {"if": {}}, "definitions": {"not": {}}},
        {"uniqueItems": False, "format": "int32", "type": "integer"},
        {"format": "int32", "type": "integer", "enum": [1, 2]},
        {"type": "string", "format": "date-time"},
        {"enum": [{"not": 1}], "default": {"not": 1}, "example": {"minimum": 1}},
        {"const": {"if": 1}, "discriminator": {"mapping": {"pattern": "#/$defs/pattern"}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}},
    ],
    ids=_name,
)
def test_a_schema_may_name_its_properties_and_values_as_it_likes(schema: dict[str, Any]) -> None:
    assert chat(response_format=schema_format(schema)).structured_outputs


def test_a_schema_within_a_structural_tag_has_to_hold_as_well() -> None:
    tag = {"format": {"type": "json_schema", "json_schema": {"minimum": 5}}}
    with pytest.raises(BadRequest) as refusal:
        chat(structured_outputs={"structural_tag": tag})
    assert refusal.value.param == "structured_outputs.structural_tag"


@pytest.mark.parametrize("strict", [True, False, None])
def test_a_schema_is_enforced_whether_it_is_called_strict_or_not(strict: bool | None) -> None:
    wanted = schema_format(OBJECT, strict=strict, description="Labels change nothing.")
    assert chat(response_format=wanted).structured_outputs == StructuredOutputs(json=OBJECT_TEXT)


def test_a_schema_may_be_as_large_and_as_deep_as_the_limits_say() -> None:
    large = chat(response_format=schema_format(schema_of_bytes(DEFAULT_LIMITS.schema_bytes)))
    assert large.structured_outputs is not None
    assert large.structured_outputs.json is not None
    assert len(large.structured_outputs.json.encode()) == DEFAULT_LIMITS.schema_bytes
    assert chat(
        response_format=schema_format(nested(DEFAULT_LIMITS.schema_depth))
    ).structured_outputs


def test_a_schema_with_an_infinite_number_is_refused() -> None:
    body = json.dumps({**CHAT, "response_format": schema_format({"maximum": 7})})
    with pytest.raises(BadRequest) as refusal:
        parse_chat(body.replace("7", "1e999").encode())
    assert refusal.value.param == "response_format.json_schema.schema"


@pytest.mark.parametrize(
    "fields", [{"ignore_eos": False}, {"min_tokens": 0}, {"logprobs": True, "top_logprobs": 2}]
)
def test_the_form_goes_together_with_what_lets_it_end(fields: dict[str, Any]) -> None:
    sampling = sampling_of(chat(response_format={"type": "json_object"}, **fields))
    free = sampling_of(chat(**fields))
    form = StructuredOutputs(json_object=True)
    assert sampling == msgspec.structs.replace(free, structured_outputs=form)


def test_a_completion_with_a_form_may_echo_its_prompt() -> None:
    asked = completion(response_format={"type": "json_object"}, echo=True, logprobs=1)
    assert sampling_of(asked) == Sampling(
        max_tokens=16,
        logprobs=1,
        prompt_logprobs=1,
        structured_outputs=StructuredOutputs(json_object=True),
    )


def test_an_echo_alone_is_told_from_one_that_goes_on() -> None:
    assert completion(echo=True, max_tokens=0).echo_only
    assert not completion(echo=True).echo_only


@pytest.mark.parametrize(
    ("limit", "fields", "param"),
    [
        ("n", {"n": 3}, "n"),
        ("stop", {"stop": ["a", "b", "c"]}, "stop"),
        ("top_logprobs", {"prompt_logprobs": 3}, "prompt_logprobs"),
        ("logit_bias", {"logit_bias": {"1": 1, "2": 2, "3": 3}}, "logit_bias"),
        ("allowed_token_ids", {"allowed_token_ids": [1, 2, 3]}, "allowed_token_ids"),
        ("bad_words", {"bad_words": ["a", "b", "c"]}, "bad_words"),
        ("schema_bytes", {"structured_outputs": {"json": {"a": 1}}}, "structured_outputs.json"),
        ("schema_depth", {"structured_outputs": {"json": nested(3)}}, "structured_outputs.json"),
        ("regex_chars", {"structured_outputs": {"regex": "abc"}}, "structured_outputs.regex"),
        ("grammar_bytes", {"structured_outputs": {"grammar": "abc"}}, "structured_outputs.grammar"),
        ("choices", {"structured_outputs": {"choice": ["a"] * 3}}, "structured_outputs.choice"),
        ("prompts", {"prompt": ["a", "b", "c"]}, "prompt"),
        ("prompts", {"prompt": [[1], [2], [3]]}, "prompt"),
    ],
    ids=_name,
)
def test_the_configuration_says_how_much_is_too_much(
    limit: str, fields: dict[str, Any], param: str
) -> None:
    body = json.dumps({**COMPLETION, **fields}).encode()
    with pytest.raises(BadRequest) as refusal:
        parse_completion(body, Limits(**{limit: 2}))
    assert (refusal.value.param, refusal.value.code) == (param, "invalid_value")
    parse_completion(body, Limits())


@pytest.mark.parametrize(
    ("limit", "fields", "param"),
    [
        ("messages", {"messages": HELLO * 3}, "messages"),
        ("top_logprobs", {"logprobs": True, "top_logprobs": 3}, "top_logprobs"),
        (
            "tools",
            {"tools": [{"type": "function", "function": {"name": n}} for n in "abc"]},
            "tools",
        ),
    ],
)
def test_the_configuration_says_how_much_is_too_much_for_a_chat(
    limit: str, fields: dict[str, Any], param: str
) -> None:
    body = json.dumps({**CHAT, **fields}).encode()
    with pytest.raises(BadRequest) as refusal:
        parse_chat(body, Limits(**{limit: 2}))
    assert (refusal.value.param, refusal.value.code) == (param, "invalid_value")
    parse_chat(body, Limits())


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"truncate_prompt_tokens": 2}, [5, 6]),
        ({"truncate_prompt_tokens": 2, "truncation_side": "left"}, [5, 6]),
        ({"truncate_prompt_tokens": 2, "truncation_side": "right"}, [1, 2]),
        ({"truncate_prompt_tokens": 6}, [1, 2, 3, 4, 5, 6]),
        ({"truncate_prompt_tokens": -1}, [2, 3, 4, 5, 6]),
        ({"truncate_prompt_tokens": -1, "max_tokens": 3}, [4, 5, 6]),
        ({"truncate_prompt_tokens": -1, "max_tokens": 6}, [6]),
    ],
    ids=_name,
)
def test_a_prompt_is_cut_as_it_is_asked_for(fields: dict[str, Any], kept: list[int]) -> None:
    assert chat(**fields).shortened([1, 2, 3, 4, 5, 6], 6) == kept


def test_a_prompt_is_not_cut_to_more_than_the_context() -> None:
    with pytest.raises(BadRequest) as refusal:
        chat(truncate_prompt_tokens=7).shortened([1], 6)
    assert refusal.value.param == "truncate_prompt_tokens"


@pytest.mark.parametrize(
    ("request_", "requested"),
    [
        (chat(), None),
        (chat(max_tokens=5), 5),
        (chat(max_completion_tokens=5), 5),
        (completion(), None),
        (completion(max_tokens=5), 5),
        (completion(max_tokens=0, echo=True), 0),
    ],
)
def test_only_a_length_that_the_client_named_counts_as_requested(
    request_: ChatRequest | CompletionRequest, requested: int | None
) -> None:
    assert request_.requested_max_tokens == requested


MODELS_OWN: dict[str, Any] = {
    "temperature": 0.6,
    "top_p": 0.9,
    "top_k": 20,
    "min_p": 0.05,
    "repetition_penalty": 1.05,
    "max_tokens": 500,
}


def test_the_models_own_parameters_stand_in_for_what_was_not_sent() -> None:
    assert sampling_of(chat(), **MODELS_OWN) == Sampling(**MODELS_OWN)


def test_what_was_sent_goes_before_the_models_own_parameters() -> None:
    sent: dict[str, Any] = {
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "max_tokens": 700,
    }
    assert sampling_of(chat(**sent), **MODELS_OWN) == Sampling(**sent)


def test_the_models_own_null_stands_for_nothing() -> None:
    assert sampling_of(chat(), **dict.fromkeys(MODELS_OWN)) == sampling_of(chat())


def test_an_unnamed_length_is_cut_to_what_the_context_holds() -> None:
    assert chat().sampling(default={"max_tokens": 500}, max_tokens=300).max_tokens == 300
    assert completion().sampling(default={}, max_tokens=3).max_tokens == 3


def test_a_minimum_beyond_an_unnamed_length_is_refused() -> None:
    with pytest.raises(BadRequest) as refusal:
        sampling_of(completion(min_tokens=17))
    assert refusal.value.param == "min_tokens"


def test_the_first_of_several_sequences_keeps_the_seed() -> None:
    sampling = Sampling(max_tokens=1, seed=7)
    assert with_seed_offset(sampling, 0) == sampling


def test_each_further_sequence_has_the_next_seed() -> None:
    sampling = Sampling(max_tokens=1, top_k=5, seed=7)
    assert with_seed_offset(sampling, 2) == Sampling(max_tokens=1, top_k=5, seed=9)


def test_sequences_without_a_seed_stay_without() -> None:
    assert with_seed_offset(Sampling(max_tokens=1), 2).seed is None


@unhurried
@given(seed=st.integers(-12, 3) | st.integers(2**63 - 9, 2**63 - 1))
def test_the_seeds_of_a_request_are_distinct_int64s_and_none_is_random(seed: int) -> None:
    first = sampling_of(chat(seed=seed))
    seeds = [with_seed_offset(first, index).seed for index in range(8)]
    if seed == -1:
        assert seeds == [None] * 8
    else:
        assert len(set(seeds)) == 8
        assert all(s not in (None, -1) and -(2**63) <= s < 2**63 for s in seeds)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def outcome(parse: Parse, body: bytes) -> Sampling | BadRequest:
    try:
        return sampling_of(parse(body))
    except BadRequest as refusal:
        return refusal


def check(parse: Parse, body: bytes) -> None:
    """Parse, or be refused politely; what parses must also fit the struct that is sent."""
    result = outcome(parse, body)
    if isinstance(result, BadRequest):
        assert result.code
        assert "is not valid, but" not in result.message  # a pydantic error without a sentence
        assert len(result.message) < 1000
    else:
        assert math.isfinite(result.temperature)
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(result), type=Sampling) == result


@unhurried
@given(body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_raise_anything_but_bad_request(body: bytes) -> None:
    check(parse_chat, body)
    check(parse_completion, body)


CHAT_KEYS = sorted(ChatRequest._keys | ChatRequest.unsupported.keys())
COMPLETION_KEYS = sorted(CompletionRequest._keys)
MESSAGE_KEYS = st.sampled_from(["role", "content", "name", "type", "text"])
MESSAGES = st.lists(st.dictionaries(MESSAGE_KEYS, JSON | st.just("user"), max_size=3), max_size=3)


@thorough
@given(fields=st.dictionaries(st.sampled_from(CHAT_KEYS), JSON, max_size=3), messages=MESSAGES)
def test_no_value_of_a_chat_raises_anything_but_bad_request(
    fields: dict[str, Any], messages: list[Any]
) -> None:
    check(parse_chat, json.dumps({**CHAT, **fields}).encode())
    check(parse_chat, json.dumps({**CHAT, "messages": messages}).encode())


@thorough
@given(fields=st.dictionaries(st.sampled_from(COMPLETION_KEYS), JSON, max_size=3))
def test_no_value_of_a_completion_raises_anything_but_bad_request(fields: dict[str, Any]) -> None:
    check(parse_completion, json.dumps({**COMPLETION, **fields}).encode())
