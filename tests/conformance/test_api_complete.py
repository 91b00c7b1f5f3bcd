"""docs/api.md against all the fields that OpenAI and vLLM have."""

from collections.abc import Mapping
from typing import Any

import pytest
from openai.types import chat as openai_chat
from openai.types import completion_create_params, embedding_create_params
from openai.types.chat import completion_create_params as chat_create_params

from tests.conformance import surface
from tests.conformance.api_doc import code, fields_of


def named(path: str, of: str) -> set[str]:
    """The fields that a table says to be OpenAI's or vLLM's."""
    return {code(row["field"]) for row in fields_of(path) if of in row["of"].split(", ")}


def outermost(names: set[str]) -> set[str]:
    return {name for name in names if "." not in name and "[" not in name}


def inner(names: set[str], prefix: str) -> set[str]:
    """Those within an object or an array, without what stands before them."""
    within = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    return outermost(within)


VLLM = {
    "/v1/chat/completions": (
        "entrypoints.openai.chat_completion.protocol",
        ["ChatCompletionRequest"],
    ),
    "/v1/completions": ("entrypoints.openai.completion.protocol", ["CompletionRequest"]),
    "/v1/embeddings": (
        "entrypoints.pooling.embed.protocol",
        ["EmbeddingCompletionRequest", "EmbeddingChatRequest", "EmbeddingBatchChatInputRequest"],
    ),
    "/classify": (
        "entrypoints.pooling.classify.protocol",
        ["ClassificationCompletionRequest", "ClassificationChatRequest"],
    ),
    "/score": (
        "entrypoints.pooling.scoring.protocol",
        [
            "ScoreQueriesDocumentsRequest",
            "ScoreQueriesItemsRequest",
            "ScoreDataRequest",
            "ScoreTextRequest",
        ],
    ),
    "/rerank": ("entrypoints.pooling.scoring.protocol", ["RerankRequest"]),
    "/tokenize": (
        "entrypoints.serve.tokenize.protocol",
        ["TokenizeCompletionRequest", "TokenizeChatRequest"],
    ),
    "/detokenize": ("entrypoints.serve.tokenize.protocol", ["DetokenizeRequest"]),
    "/v1/load_lora_adapter": ("entrypoints.serve.lora.protocol", ["LoadLoRAAdapterRequest"]),
    "/v1/unload_lora_adapter": ("entrypoints.serve.lora.protocol", ["UnloadLoRAAdapterRequest"]),
}
"""By path: the module of vLLM and its models of that endpoint's body."""
VLLM_INNER = {
    "stream_options.": ("entrypoints.generate.base.protocol", ["StreamOptions"]),
    "structured_outputs.": ("sampling_params", ["StructuredOutputsParams"]),
    "tools[].": (
        "entrypoints.openai.chat_completion.protocol",
        ["ChatCompletionToolsParam"],
    ),
    "tools[].function.": ("entrypoints.generate.base.protocol", ["FunctionDefinition"]),
    "messages[].": (
        "renderers.chat_utils",
        ["CustomChatCompletionMessageParam", "ConversationMessage"],
    ),
}
OPENAI: Mapping[str, Any] = {
    "/v1/chat/completions": [
        chat_create_params.CompletionCreateParamsBase,
        chat_create_params.CompletionCreateParamsStreaming,
    ],
    "/v1/completions": [
        completion_create_params.CompletionCreateParamsBase,
        completion_create_params.CompletionCreateParamsStreaming,
    ],
    "/v1/embeddings": [embedding_create_params.EmbeddingCreateParams],
}
OPENAI_INNER: Mapping[str, Any] = {
    "stream_options.": [openai_chat.ChatCompletionStreamOptionsParam],
    "tools[].": [openai_chat.ChatCompletionFunctionToolParam],
    "messages[].": [
        openai_chat.ChatCompletionAssistantMessageParam,
        openai_chat.ChatCompletionDeveloperMessageParam,
        openai_chat.ChatCompletionFunctionMessageParam,
        openai_chat.ChatCompletionSystemMessageParam,
        openai_chat.ChatCompletionToolMessageParam,
        openai_chat.ChatCompletionUserMessageParam,
    ],
    "messages[].content[].": [openai_chat.ChatCompletionContentPartTextParam],
}


class TestNoFieldIsMissing:
    @pytest.mark.parametrize("path", VLLM)
    def test_of_vllms(self, path: str) -> None:
        module, names = VLLM[path]
        assert surface.vllm_fields(module, *names) == outermost(named(path, "vLLM"))

    @pytest.mark.parametrize("prefix", VLLM_INNER)
    def test_of_vllms_inner_objects(self, prefix: str) -> None:
        module, names = VLLM_INNER[prefix]
        documented = inner(named("/v1/chat/completions", "vLLM"), prefix)
        assert surface.vllm_fields(module, *names) <= documented

    @pytest.mark.parametrize("path", OPENAI)
    def test_of_openais(self, path: str) -> None:
        assert _annotated(OPENAI[path]) == outermost(named(path, "OpenAI"))

    @pytest.mark.parametrize("prefix", OPENAI_INNER)
    def test_of_openais_inner_objects(self, prefix: str) -> None:
        documented = inner(named("/v1/chat/completions", "OpenAI"), prefix)
        assert _annotated(OPENAI_INNER[prefix]) <= documented


def _annotated(types: list[Any]) -> set[str]:
    return {name for each in types for name in each.__annotations__}
