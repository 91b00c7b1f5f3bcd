"""Examples of requests for the OpenAPI document, by path.

Those of texts and tokens work on a server that was started without a configuration; otherwise
another model has to be named.
"""

from collections.abc import Mapping
from typing import Any

_MODEL = "sluice-chat"
_EMBEDDER = "minilm"
_ASKED = [{"role": "user", "content": "What is the weather in Oslo?"}]
_WEATHER = {
    "type": "object",
    "properties": {"city": {"enum": ["Oslo", "Rome"]}, "rainy": {"type": "boolean"}},
    "required": ["city", "rainy"],
    "additionalProperties": False,
}
_CHAT = {"model": _MODEL, "messages": _ASKED, "max_tokens": 32}

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "/v1/chat/completions": {
        "A whole answer": _CHAT,
        "A stream": {**_CHAT, "stream": True, "stream_options": {"include_usage": True}},
        "An answer with a schema": {
            **_CHAT,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "weather", "schema": _WEATHER},
            },
        },
        "A tool": {
            **_CHAT,
            "tools": [
                {"type": "function", "function": {"name": "weather", "parameters": _WEATHER}}
            ],
            "tool_choice": {"type": "function", "function": {"name": "weather"}},
        },
    },
    "/v1/completions": {
        "A text": {"model": _MODEL, "prompt": "The king", "max_tokens": 16, "seed": 1},
        "Token ids, twice": {"model": _MODEL, "prompt": [[7, 8], [9]], "max_tokens": 4, "n": 2},
    },
    "/tokenize": {
        "A text": {"model": _MODEL, "prompt": "The king", "return_token_strs": True},
        "A chat": {"model": _MODEL, "messages": _ASKED},
    },
    "/detokenize": {"Token ids": {"model": _MODEL, "tokens": [7, 8, 9]}},
    "/v1/embeddings": {
        "A text": {"model": _EMBEDDER, "input": "A cat sat on the mat."},
        "Several, as base64": {
            "model": _EMBEDDER,
            "input": ["A cat sat on the mat.", "Stocks fell."],
            "encoding_format": "base64",
        },
    },
    "/v1/score": {
        "One against many": {
            "model": _EMBEDDER,
            "text_1": "A kitten",
            "text_2": ["A cat sat on the mat.", "Stocks fell."],
        }
    },
    "/v1/rerank": {
        "Which fits best": {
            "model": _EMBEDDER,
            "query": "A kitten",
            "documents": ["A cat sat on the mat.", "Stocks fell."],
            "top_n": 1,
        }
    },
    "/v1/classify": {"A text": {"model": "my-classifier", "input": "Stocks fell."}},
    "/v1/load_lora_adapter": {
        "An adapter": {"lora_name": "my-adapter", "lora_path": "/adapters/my-adapter"}
    },
    "/v1/unload_lora_adapter": {"An adapter": {"lora_name": "my-adapter"}},
}
