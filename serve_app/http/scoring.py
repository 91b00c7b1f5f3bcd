"""POST /v1/score and POST /v1/rerank: how well texts go together."""

import asyncio

import msgspec
import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from deployments.messages import Pooling
from serve_app.http.body import read
from serve_app.http.parsing import invalid
from serve_app.http.pooling import Inputs, Pool
from serve_app.http.scoring_request import Names, RerankRequest, ScoreRequest, ScoringRequest
from serve_app.http.tasks import CLASSIFY, EMBED, SCORE

Vector = NDArray[np.float32]

_json = msgspec.json.Encoder().encode
_LEAST_NORM = 1e-8  # torch's, by which vLLM divides


async def create_score(request: Request) -> Response:
    """Score each pair of texts."""
    asked = await read(request, ScoreRequest)
    pool = await Pool.open(request, asked, SCORE)
    scores = await _Scoring(pool, asked, asked.names).run(*asked.texts)
    data = [{"index": i, "object": "score", "score": score} for i, score in enumerate(scores)]
    return pool.answer("score", [_json(entry) for entry in data])


async def create_ranking(request: Request) -> Response:
    """Order documents by how well they answer a query."""
    asked = await read(request, RerankRequest)
    pool = await Pool.open(request, asked, SCORE)
    scoring = _Scoring(pool, asked, Names("query", "documents"))
    scores = await scoring.run([asked.query], asked.documents)
    best = sorted(range(len(scores)), key=lambda index: -scores[index])
    results = [
        {
            "index": index,
            "document": {"text": asked.documents[index], "multi_modal": None},
            "relevance_score": scores[index],
        }
        for index in best[: asked.top_n or None]
    ]
    content = {
        "id": pool.head("score")["id"],
        "model": asked.model,
        "usage": pool.usage.to_json(),
        "results": results,
    }
    return pool.response(_json(content))


class _Scoring:
    """Scores pairs as the model's kind does it: by comparing embeddings, or by reading both."""

    def __init__(self, pool: Pool, asked: ScoringRequest, names: Names) -> None:
        self._pool = pool
        self._asked = asked
        self._names = names

    async def run(self, first: list[str], second: list[str]) -> list[float]:
        """The score of each of `second` with the one of `first`, or the one beside it."""
        first = await self._shortened(first, "max_tokens_per_query")
        second = await self._shortened(second, "max_tokens_per_doc")
        if self._pool.facts["scores"] == "bi-encoder":
            return await self._compared(first, second)
        return await self._read(first, second)

    async def _shortened(self, texts: list[str], field: str) -> list[str]:
        pool = self._pool
        texts = [pool.plain(text) for text in texts]
        limit: int = getattr(self._asked, field)
        if limit >= pool.context:
            raise invalid(field, f"must be less than {pool.context}, the model's context length")
        return await pool.tokenizing.shortened(texts, limit) if limit else texts

    async def _compared(self, first: list[str], second: list[str]) -> list[float]:
        pool, names = self._pool, self._names
        pooling = Pooling(EMBED, use_activation=self._asked.use_activation)
        queries = await pool.tokenizing.inputs(first, pool.cut)
        documents = await pool.tokenizing.inputs(second, pool.cut)
        pool.check(queries, names.first, is_single=names.first == "query")
        pool.check(documents, names.second)
        vectors = await self._vectors([(ids, pooling) for ids, _ in [*queries, *documents]])
        return await asyncio.to_thread(_cosines, vectors[: len(first)], vectors[len(first) :])

    async def _read(self, first: list[str], second: list[str]) -> list[float]:
        pool, activation = self._pool, self._asked.use_activation
        pairs = list(zip(first * len(second) if len(first) == 1 else first, second, strict=True))
        if pool.facts["separates_pairs"]:
            encoded = await pool.tokenizing.pairs(pairs, pool.cut)
        else:
            encoded = await pool.tokenizing.inputs([a + b for a, b in pairs], pool.cut)
        pool.check(encoded, self._names.second)
        inputs = [
            (ids, Pooling(CLASSIFY, use_activation=activation, second_text_at=second_text_at))
            for ids, second_text_at in encoded
        ]
        return [float(score) for (score,) in await self._vectors(inputs)]

    async def _vectors(self, inputs: Inputs) -> list[Vector]:
        vectors = [np.empty(0, np.float32)] * len(inputs)

        def take(index: int, vector: bytes) -> None:
            vectors[index] = np.frombuffer(vector, np.float32)

        await self._pool.run(inputs, take)
        return vectors


def _cosines(first: list[Vector], second: list[Vector]) -> list[float]:
    ones, others = np.stack(first), np.stack(second)
    norms = np.linalg.norm(ones, axis=1) * np.linalg.norm(others, axis=1)
    scores: list[float] = ((ones * others).sum(axis=1) / np.maximum(norms, _LEAST_NORM)).tolist()
    return scores
