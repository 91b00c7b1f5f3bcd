"""Embeddings, scores and classes of real vLLM engines, beside what transformers makes of them."""

import asyncio
import base64
import itertools
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from openai import AsyncOpenAI, BadRequestError, OpenAI
from transformers import AutoTokenizer

from tests.support import models, pooling
from tests.support.models import CLASSIFIER, CROSS_ENCODER, EMBEDDER
from tests.support.pooling import LABELS, MINILM
from tests.support.server import Server

CAT, KITTEN, STOCKS = (
    "A cat is sleeping on the sofa.",
    "A kitten naps on the couch.",
    "Stocks fell sharply on Monday.",
)
TEXTS = [CAT, KITTEN, STOCKS, "Zürich, 東京", "one " * 200]
LONG = "word " * 300
NEAR = 1e-5


def post(server: Server, path: str, **body: Any) -> dict[str, Any]:
    response = server.post(path, body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def error(server: Server, path: str, **body: Any) -> tuple[str, str]:
    """The param and the code of a request that must be refused."""
    response = server.post(path, body)
    assert response.status_code == 400, response.text
    refusal = response.json()["error"]
    return refusal["param"], refusal["code"]


def embed(server: Server, given: Any, **fields: Any) -> torch.Tensor:
    """One row for each input."""
    answer = post(server, "/v1/embeddings", model=EMBEDDER, input=given, **fields)
    return torch.tensor([entry["embedding"] for entry in answer["data"]])


def rows(given: Sequence[Any]) -> torch.Tensor:
    return torch.tensor(list(given), dtype=torch.float32)


def assert_same(mine: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(mine, theirs, atol=NEAR, rtol=0)


class TestEmbeddings:
    def test_are_those_of_transformers(self, server: Server) -> None:
        assert_same(embed(server, TEXTS), pooling.embeddings(TEXTS))

    def test_know_a_cat_from_stocks(self, server: Server) -> None:
        cat, kitten, stocks = embed(server, [CAT, KITTEN, STOCKS])
        assert cat @ kitten > 0.5
        assert cat @ stocks < 0.2

    def test_are_the_same_numbers_in_base64(self, server: Server) -> None:
        answer = post(
            server, "/v1/embeddings", model=EMBEDDER, input=TEXTS, encoding_format="base64"
        )
        packed = [base64.b64decode(entry["embedding"]) for entry in answer["data"]]
        unpacked = rows([struct.unpack("<384f", one) for one in packed])
        assert_same(unpacked, embed(server, TEXTS))

    def test_of_tokens_are_those_of_their_text(self, server: Server) -> None:
        tokens = AutoTokenizer.from_pretrained(MINILM)([CAT, STOCKS])["input_ids"]
        assert_same(embed(server, tokens), embed(server, [CAT, STOCKS]))
        assert_same(embed(server, tokens[0]), embed(server, CAT))

    def test_of_a_large_batch_are_in_its_order(self, server: Server) -> None:
        texts = [f"number {i} " * (1 + i % 7) for i in range(300)]
        some = [0, 1, 150, 299]
        assert_same(embed(server, texts)[some], pooling.embeddings([texts[i] for i in some]))

    def test_of_many_clients_at_once_are_each_ones_own(self, server: Server) -> None:
        async def all_of_them() -> list[Any]:
            async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
                body = {"model": EMBEDDER}
                return await asyncio.gather(
                    *(
                        client.post("/v1/embeddings", json={**body, "input": text})
                        for text in [CAT, KITTEN, STOCKS] * 20
                    )
                )

        answers = [response.json() for response in asyncio.run(all_of_them())]
        mine = rows([answer["data"][0]["embedding"] for answer in answers])
        assert_same(mine, pooling.embeddings([CAT, KITTEN, STOCKS]).repeat(20, 1))

    def test_without_activation_are_not_normalized(self, server: Server) -> None:
        plain = embed(server, [CAT, STOCKS], use_activation=False)
        theirs = pooling.embeddings([CAT, STOCKS], normalized=False)
        torch.testing.assert_close(plain, theirs, atol=1e-4, rtol=0)

    def test_of_a_text_that_is_too_long_are_refused_or_of_its_beginning(
        self, server: Server
    ) -> None:
        too_long = error(server, "/v1/embeddings", model=EMBEDDER, input=[CAT, LONG])
        assert too_long == ("input[1]", "context_length_exceeded")
        cut = embed(server, LONG, truncate_prompt_tokens=-1)
        assert_same(cut, pooling.embeddings([LONG]))

    def test_cannot_be_cut_to_fewer_dimensions_by_this_model(self, server: Server) -> None:
        refusal = error(server, "/v1/embeddings", model=EMBEDDER, input=CAT, dimensions=8)
        assert refusal == ("dimensions", "invalid_value")

    def test_of_a_token_that_there_is_not_are_refused(self, server: Server) -> None:
        response = server.post("/v1/embeddings", {"model": EMBEDDER, "input": [10**6]})
        assert response.status_code == 400
        assert "out of vocabulary" in response.json()["error"]["message"]

    def test_count_the_tokens_of_all_inputs(self, server: Server) -> None:
        tokens = AutoTokenizer.from_pretrained(MINILM)([CAT, STOCKS])["input_ids"]
        usage = post(server, "/v1/embeddings", model=EMBEDDER, input=[CAT, STOCKS])["usage"]
        count = sum(map(len, tokens))
        assert (usage["prompt_tokens"], usage["total_tokens"]) == (count, count)


class TestOpenAIsClient:
    def test_decodes_what_it_asks_for_by_itself(self, server: Server) -> None:
        client = OpenAI(base_url=f"{server.url}/v1", api_key="none")
        answer = client.embeddings.create(model=EMBEDDER, input=[CAT, STOCKS])
        assert_same(rows([one.embedding for one in answer.data]), embed(server, [CAT, STOCKS]))
        assert answer.usage.total_tokens > 0

    async def test_does_so_asynchronously_too(self, server: Server) -> None:
        async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            answer = await client.embeddings.create(
                model=EMBEDDER, input=CAT, encoding_format="float"
            )
        assert len(answer.data[0].embedding) == 384

    def test_raises_its_own_error(self, server: Server) -> None:
        client = OpenAI(base_url=f"{server.url}/v1", api_key="none")
        with pytest.raises(BadRequestError) as caught:
            client.embeddings.create(model=models.SMALL, input=CAT)
        assert (caught.value.param, caught.value.code) == ("model", "unsupported_task")


class TestScores:
    def test_of_an_embedding_model_are_angles(self, server: Server) -> None:
        answer = post(server, "/v1/score", model=EMBEDDER, text_1=CAT, text_2=[CAT, KITTEN, STOCKS])
        vectors = pooling.embeddings([CAT, KITTEN, STOCKS])
        assert_same(rows([entry["score"] for entry in answer["data"]]), vectors @ vectors[0])

    @pytest.mark.parametrize("activation", [None, False])
    def test_of_a_cross_encoder_are_those_of_transformers(
        self, server: Server, tiny_models: Path, activation: bool | None
    ) -> None:
        documents = [KITTEN, STOCKS, "", "one " * 40]
        fields = {"queries": CAT, "documents": documents, "use_activation": activation}
        answer = post(server, "/score", model=CROSS_ENCODER, **fields)
        logits = pooling.logits(tiny_models / CROSS_ENCODER, [CAT] * 4, documents)[:, 0]
        theirs = logits if activation is False else logits.sigmoid()
        torch.testing.assert_close(
            rows([entry["score"] for entry in answer["data"]]), theirs, atol=1e-4, rtol=0
        )

    def test_order_documents(self, server: Server) -> None:
        answer = post(
            server, "/v1/rerank", model=EMBEDDER, query=CAT, documents=[STOCKS, KITTEN], top_n=1
        )
        (best,) = answer["results"]
        assert (best["index"], best["document"]["text"]) == (1, KITTEN)

    def test_of_a_classifier_there_are_none(self, server: Server) -> None:
        refusal = error(server, "/v1/score", model=CLASSIFIER, text_1=CAT, text_2=CAT)
        assert refusal == ("model", "unsupported_task")


def test_classes_are_those_of_transformers(server: Server, tiny_models: Path) -> None:
    answer = post(server, "/v1/classify", model=CLASSIFIER, input=[CAT, STOCKS])
    theirs = pooling.logits(tiny_models / CLASSIFIER, [CAT, STOCKS]).softmax(dim=-1)
    assert_same(rows([entry["probs"] for entry in answer["data"]]), theirs)
    labels = [LABELS[row.argmax()] for row in theirs]
    assert [entry["label"] for entry in answer["data"]] == labels


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
        ("/v1/completions", {"prompt": "Hi"}),
        ("/v1/classify", {"input": "Hi"}),
    ],
)
def test_an_embedding_model_does_nothing_else(
    server: Server, path: str, body: dict[str, Any]
) -> None:
    assert error(server, path, model=EMBEDDER, **body) == ("model", "unsupported_task")


def test_pooling_models_are_listed_with_the_others(server: Server) -> None:
    listed = {model["id"]: model for model in server.get("/v1/models").json()["data"]}
    assert listed[EMBEDDER]["max_model_len"] == 256
    ready = server.get("/ready").json()["models"]
    assert {EMBEDDER, CROSS_ENCODER, CLASSIFIER} <= ready.keys()
    assert all(
        engine["beats"]
        for engine in itertools.chain.from_iterable(model["engines"] for model in ready.values())
    )
