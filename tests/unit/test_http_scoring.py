"""POST /score and POST /rerank over a real router and a real engine server."""

import struct
from typing import Any

import pytest

from deployments.messages import Pooling, Sequence
from tests.unit.http_fixtures import MODEL, site
from tests.unit.pooling_fixtures import (
    CLASSIFIER,
    CONTEXT,
    CROSS_ENCODER,
    EMBED,
    RERANK,
    SCORE,
    body,
    pooling_site,
    whole,
)


def direction(sequence: Sequence) -> bytes:
    """A vector that points where the first character says."""
    towards = {ord("e"): (2, 0), ord("n"): (0, 3), ord("w"): (-1, 0), ord("0"): (0, 0)}
    return struct.pack("<2f", *towards[sequence.prompt_token_ids[1]])


def length(sequence: Sequence) -> bytes:
    """A score that is the longer input's."""
    return struct.pack("<f", len(sequence.prompt_token_ids) / 100)


async def scores_of(pooling: dict[str, Any], **fields: Any) -> list[float]:
    """The scores in their order; a pair's is `direction` or `length`, by the kind of model."""
    async with pooling_site(pooling) as s:
        s.engine.vector = direction if pooling["task"] == "embed" else length
        response = await s.post(SCORE, body(**fields))
    assert response.status_code == 200, response.text
    answer = response.json()
    assert [entry["index"] for entry in answer["data"]] == list(range(len(answer["data"])))
    return [entry["score"] for entry in answer["data"]]


async def inputs_of(pooling: dict[str, Any], **fields: Any) -> list[Sequence]:
    """What the engine gets of a request."""
    async with pooling_site(pooling) as s:
        s.engine.vector = length
        assert (await s.post(SCORE, body(**fields))).status_code == 200
        return await s.submitted()


async def test_scores_are_answered_in_vllms_shape() -> None:
    async with pooling_site() as s:
        answer = (await s.post(SCORE, body(text_1="e", text_2=["e", "n"]))).json()
    assert answer["id"].startswith("score-")
    assert (answer["object"], answer["model"]) == ("list", MODEL)
    assert [entry["object"] for entry in answer["data"]] == ["score", "score"]
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] == 9


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("text_1", "text_2"),
        ("queries", "documents"),
        ("queries", "items"),
        ("data_1", "data_2"),
    ],
)
async def test_the_texts_may_come_by_any_of_vllms_names(first: str, second: str) -> None:
    assert await scores_of(EMBED, **{first: "e", second: ["east", "west"]}) == [1, -1]


class TestABiEncoder:
    async def test_compares_one_text_with_many_by_their_angle(self) -> None:
        scores = await scores_of(EMBED, text_1="e", text_2=["east", "north", "west"])
        assert scores == [1, 0, -1]

    async def test_compares_as_many_texts_with_as_many(self) -> None:
        assert await scores_of(EMBED, text_1=["e", "n"], text_2=["west", "north"]) == [-1, 1]

    async def test_scores_a_vector_of_nothing_with_0(self) -> None:
        assert await scores_of(EMBED, text_1="0", text_2="e") == [0]

    async def test_reads_each_text_once(self) -> None:
        sequences = await inputs_of(EMBED, text_1="q", text_2=["a", "b"])
        assert [s.prompt_token_ids for s in sequences] == [whole("q"), whole("a"), whole("b")]


class TestACrossEncoder:
    async def test_reads_each_pair_as_the_tokenizer_puts_it_together(self) -> None:
        sequences = await inputs_of(CROSS_ENCODER, text_1="qq", text_2=["a", "bc"])
        assert [s.prompt_token_ids for s in sequences] == [whole("qq", "a"), whole("qq", "bc")]
        assert [s.pooling for s in sequences] == [Pooling("classify", second_text_at=4)] * 2

    async def test_reads_one_text_where_the_model_has_no_separator(self) -> None:
        sequences = await inputs_of(
            {**CROSS_ENCODER, "separates_pairs": False}, text_1="qq", text_2="a"
        )
        assert [s.prompt_token_ids for s in sequences] == [whole("qqa")]
        assert [s.pooling for s in sequences] == [Pooling("classify")]

    async def test_scores_each_pair(self) -> None:
        scores = await scores_of(CROSS_ENCODER, text_1=["q", "qq"], text_2=["a", "bc"])
        assert scores == pytest.approx([0.05, 0.07])

    async def test_gives_the_logit_where_no_activation_is_wanted(self) -> None:
        (one,) = await inputs_of(CROSS_ENCODER, text_1="q", text_2="a", use_activation=False)
        assert one.pooling is not None
        assert one.pooling.use_activation is False

    async def test_cuts_a_pair_by_its_longer_text(self) -> None:
        (one,) = await inputs_of(
            CROSS_ENCODER, text_1="qqq", text_2="a" * 50, truncate_prompt_tokens=12
        )
        assert one.prompt_token_ids == whole("qqq", "a" * 6)

    async def test_cuts_queries_and_documents_by_themselves(self) -> None:
        limits = {"max_tokens_per_query": 2, "max_tokens_per_doc": 3}
        (one,) = await inputs_of(CROSS_ENCODER, text_1="qqqq", text_2="aaaa", **limits)
        assert one.prompt_token_ids == whole("qq", "aaa")


class TestARanking:
    async def rank(self, **fields: Any) -> dict[str, Any]:
        async with pooling_site() as s:
            s.engine.vector = direction
            response = await s.post(RERANK, body(**fields))
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def test_has_the_best_document_first(self) -> None:
        answer = await self.rank(query="e", documents=["west", "east", "north"])
        assert [result["index"] for result in answer["results"]] == [1, 2, 0]
        assert answer["results"][0] == {
            "index": 1,
            "document": {"text": "east", "multi_modal": None},
            "relevance_score": 1.0,
        }
        assert answer["usage"]["total_tokens"] == 3 + 6 + 6 + 7
        assert (answer["model"], "object" in answer) == (MODEL, False)

    async def test_has_equals_in_their_order(self) -> None:
        answer = await self.rank(query="e", documents=["n1", "e1", "n2", "e2"])
        assert [result["index"] for result in answer["results"]] == [1, 3, 0, 2]

    async def test_tells_no_more_than_is_asked_for(self) -> None:
        answer = await self.rank(query="e", documents=["west", "east", "north"], top_n=2)
        assert [result["index"] for result in answer["results"]] == [1, 2]

    async def test_tells_all_when_more_are_asked_for(self) -> None:
        answer = await self.rank(query="e", documents="east", top_n=2)
        assert [result["index"] for result in answer["results"]] == [0]

    @pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
    async def test_is_found_where_vllm_has_it(self, path: str) -> None:
        async with pooling_site() as s:
            response = await s.post(path, body(query="Hi", documents=["Ho"]))
        assert response.status_code == 200


class TestARefusal:
    @pytest.mark.parametrize(
        ("path", "fields", "param", "code"),
        [
            (SCORE, {}, "text_1", "missing_required_parameter"),
            (SCORE, {"text_1": "a"}, "text_2", "missing_required_parameter"),
            (SCORE, {"queries": "a"}, "documents", "missing_required_parameter"),
            (SCORE, {"items": "a"}, "queries", "missing_required_parameter"),
            (SCORE, {"text_1": "a", "items": "b"}, "items", "invalid_value"),
            (SCORE, {"text_1": "a", "text_2": "b", "queries": "c"}, "queries", "invalid_value"),
            (SCORE, {"text_1": [], "text_2": "b"}, "text_1", "invalid_value"),
            (SCORE, {"text_1": ["a", "b"], "text_2": ["c"]}, "text_2", "invalid_value"),
            (SCORE, {"text_1": "a", "text_2": {"content": []}}, "text_2", "invalid_type"),
            (SCORE, {"text_1": "a", "text_2": ["b"] * 2049}, "text_2", "invalid_value"),
            (
                SCORE,
                {"text_1": "a", "text_2": "b", "max_tokens_per_doc": CONTEXT},
                "max_tokens_per_doc",
                "invalid_value",
            ),
            (
                SCORE,
                {"text_1": "a", "text_2": ["b", "c" * CONTEXT]},
                "text_2[1]",
                "context_length_exceeded",
            ),
            (RERANK, {"documents": ["a"]}, "query", "missing_required_parameter"),
            (RERANK, {"query": "a"}, "documents", "missing_required_parameter"),
            (RERANK, {"query": ["a"], "documents": "b"}, "query", "invalid_type"),
            (RERANK, {"query": "a", "documents": [3]}, "documents[0]", "invalid_type"),
            (RERANK, {"query": "a", "documents": "b", "top_n": -1}, "top_n", "invalid_value"),
            (
                RERANK,
                {"query": "a" * CONTEXT, "documents": "b"},
                "query",
                "context_length_exceeded",
            ),
            (
                RERANK,
                {"query": "a", "documents": "b", "instruction": "c"},
                "instruction",
                "unsupported_parameter",
            ),
            (
                RERANK,
                {"query": "a", "documents": "b", "return_documents": True},
                "return_documents",
                "unknown_parameter",
            ),
        ],
    )
    async def test_names_the_field(
        self, path: str, fields: dict[str, Any], param: str, code: str
    ) -> None:
        async with pooling_site() as s:
            response = await s.post(path, body(**fields))
            assert s.engine.submitted == []
        error = response.json()["error"]
        assert (response.status_code, error["param"], error["code"]) == (400, param, code)

    @pytest.mark.parametrize("path", [SCORE, RERANK])
    async def test_names_a_model_that_does_something_else(self, path: str) -> None:
        fields = {"text_1": "a", "text_2": "b"} if path == SCORE else {"query": "a"}
        fields |= {} if path == SCORE else {"documents": "b"}
        for other in (site(), pooling_site(CLASSIFIER)):
            async with other as s:
                response = await s.post(path, body(**fields))
            error = response.json()["error"]
            assert (response.status_code, error["code"]) == (400, "unsupported_task")
